"""Random weights in place of the trained ones: what each scheme changes and what it keeps.

A tensor is a matrix if at least two of its sides are longer than one (projections, embeddings, convolutions, experts,
routers).

- ``resample``: every matrix is drawn anew from a normal distribution with that tensor's own mean and standard
  deviation, so the scale of activations stays as trained (Heap et al. 2501.17727, "R+"). Vectors are kept: norm gains,
  biases, the SSMs' D and time steps.
- ``permute``: the entries of every matrix are shuffled within it: the same marginals exactly, outliers too. Vectors
  are kept.
- ``init``: the architecture's own initialisation, of everything: transformers' ``initialize_weights``, what a family
  states, or else each module's ``reset_parameters`` and then the model's ``_init_weights`` where it has one.
- ``*_keepemb``: the same, with all embeddings, the unembedding and the norms kept (Heap et al., "R-"): isolates what
  was learned in between.

Under ``resample`` and ``permute`` an SSM's ``A_log`` gets the architecture's own initialisation: drawn at random, the
state explodes. Buffers (rotary frequencies) are never changed. Tied tensors are one tensor: changed once, and tied
afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import ModelBroken, ModelRefused
from . import calling
from .families import family_of
from .taps.tap import take
from .weights.lending import brought_in, rewritten
from .weights.placement import home, parameters, tensor_named

__all__ = ["is_matrix", "kept_parameters", "randomise", "refuse_non_finite_logits", "seed_of"]

_INITIALISED = (
    "_is_hf_initialized"  # transformers' own mark on tensors and modules that initialize_weights must not touch
)
_DECAY = "A_log"


def randomise(module: nn.Module, scheme: str, *, seed: int, k: int, head: str | None = None) -> None:
    """Randomise ``module``, which holds the trained weights, in place. Twin ``k`` of a seed is the same whatever came
    before it. ``head`` is the path of the unembedding where the module does not say which it is.

    Raises ModelRefused where the scheme changes nothing, and as ``initialise``.
    """
    base, _, keep = scheme.partition("_")
    kept = kept_parameters(module, head) if keep else set()
    decays = {name for name, _ in parameters(module) if name.rsplit(".", 1)[-1] == _DECAY}
    if base == "init":
        changed = {name for name, _ in parameters(module)} - kept
        initialise(module, changed, seed_of(seed, scheme, k, "init"))
        return
    change = _resample if base == "resample" else _permute
    matrices = {
        name: parameter
        for name, parameter in parameters(module)
        if name not in kept and name not in decays and is_matrix(parameter) and parameter.is_floating_point()
    }
    if not matrices:
        raise ModelRefused(
            f"{type(module).__name__} has no matrices that {scheme} could change: its twins would be the model itself"
        )
    with torch.no_grad():
        for name in matrices:
            with rewritten(module, name) as weight:
                change(weight, torch.Generator().manual_seed(seed_of(seed, base, k, name)))
    if decays:
        initialise(module, decays, seed_of(seed, base, k, _DECAY))


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether at least two sides of a tensor are longer than one."""
    return sum(length > 1 for length in parameter.shape) >= 2


def kept_parameters(module: nn.Module, head: str | None = None) -> set[str]:
    """The names of the parameters that ``*_keepemb`` keeps: embeddings of all kinds, the unembedding, norms."""
    ends = [getattr(module, name, lambda: None)() for name in ("get_input_embeddings", "get_output_embeddings")]
    if head is not None:
        ends.append(module.get_submodule(head))
    keep: set[int] = set()
    for part in [*ends, *module.modules()]:
        if part is not None and (
            part in ends or isinstance(part, nn.Embedding) or "norm" in type(part).__name__.lower()
        ):
            keep.update(id(parameter) for parameter in part.parameters())
    return {name for name, parameter in module.named_parameters() if id(parameter) in keep}


def initialise(module: nn.Module, names: set[str], seed: int) -> None:
    """The architecture's own initialisation for the named parameters only; the global random state is left as it was.

    Raises ModelRefused if the module has none, if it leaves one of them as trained, or if offloaded ones do not fit in
    memory.
    """
    with brought_in(module, sorted(names), f"the initialisation of {type(module).__name__}"):
        _initialise({name: tensor_named(module, name) for name in sorted(names)}, module, seed)


def _initialise(parameters: dict[str, torch.Tensor], module: nn.Module, seed: int) -> None:
    before = {name: (parameter._version, _sample(parameter)) for name, parameter in parameters.items()}
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        if family_of(module).initialise is None and calling.is_transformers(module):
            with _unmarked(module, set(map(id, parameters.values()))):
                module.initialize_weights()  # type: ignore[operator]
        else:
            _initialise_own(module, set(map(id, parameters.values())))
    untouched = [
        name
        for name, parameter in parameters.items()
        if parameter._version == before[name][0] and torch.equal(_sample(parameter), before[name][1])
    ]
    if untouched:
        raise ModelRefused(
            f"the initialisation of {type(module).__name__} leaves {', '.join(untouched[:3])} as trained; choose "
            "scheme resample or permute, or state one: register_family(...): Family(initialise=...)"
        )


def _initialise_own(module: nn.Module, changing: set[int]) -> None:
    """Initialise a module that is not of transformers, and put back what is not among the tensors in ``changing``."""
    rest = [tensor for tensor in (*module.parameters(), *module.buffers()) if id(tensor) not in changing]
    kept = [tensor.detach().clone() for tensor in rest]
    stated = family_of(module).initialise
    if stated is not None:
        stated(module)
    else:
        for part in module.modules():
            for method in ("reset_parameters", "_reset_parameters"):  # the name that torch's own modules give it
                if callable(getattr(part, method, None)):
                    getattr(part, method)()
        if callable(getattr(module, "_init_weights", None)):
            module.apply(module._init_weights)  # type: ignore[arg-type]
    for tensor, value in zip(rest, kept, strict=True):
        tensor.copy_(value)


def refuse_non_finite_logits(
    module: nn.Module, vocab_size: int, where: str, *, max_positions: int | None = None
) -> None:
    """Raise ModelBroken if a short random batch gives logits that are NaN or infinite."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 16 if max_positions is None else min(16, max_positions))
    ids = torch.randint(vocab_size, shape, generator=generator).to(home(module))
    with torch.no_grad():
        out = calling.forward(module, ids)
    logits = take(out, calling.logits_location(out, *shape, stated=family_of(module).logits, width=vocab_size))
    if not torch.isfinite(logits).all():
        raise ModelBroken(
            f"{where}: these random weights give logits that are not finite; choose another scheme of twins"
        )


def seed_of(seed: int, scheme: str, k: int, name: str) -> int:
    """A 63-bit seed that depends on exactly these four."""
    digest = hashlib.sha256(f"{seed}\0{scheme}\0{k}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _resample(parameter: torch.Tensor, generator: torch.Generator) -> None:
    values = parameter.float()
    mean, spread = values.mean(), values.std()
    noise = torch.randn(parameter.shape, generator=generator)  # on the CPU: the same twin on every device
    parameter.copy_(noise.to(parameter.device).mul_(spread).add_(mean))


def _permute(parameter: torch.Tensor, generator: torch.Generator) -> None:
    order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
    parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))


def _sample(parameter: torch.Tensor) -> torch.Tensor:
    return parameter.detach().reshape(-1)[:256].clone()


@contextmanager
def _unmarked(module: nn.Module, changing: set[int]) -> Iterator[None]:
    """Let ``initialize_weights`` touch the tensors whose ids are in ``changing`` and no other parameter or buffer."""
    marked: list[tuple[object, object]] = []
    for item in [*module.modules(), *module.parameters(), *module.buffers()]:
        marked.append((item, getattr(item, _INITIALISED, None)))
        untouchable = not isinstance(item, nn.Module) and id(item) not in changing
        setattr(item, _INITIALISED, untouchable)
    try:
        yield
    finally:
        for item, mark in marked:
            if mark is None:
                delattr(item, _INITIALISED)
            else:
                setattr(item, _INITIALISED, mark)
