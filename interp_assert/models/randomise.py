"""Random weights in place of the trained ones: what each scheme changes and what it keeps.

A tensor is a matrix if at least two of its sides are longer than one (projections, embeddings, convolutions, experts,
routers).

- ``resample``: every matrix is drawn anew from a normal distribution with that tensor's own mean and standard
  deviation, so the scale of activations stays as trained (Heap et al. 2501.17727, "R+"). Vectors are kept: norm gains,
  biases, the SSMs' D and time steps.
- ``permute``: the entries of every matrix are shuffled within it: the same marginals exactly, outliers too. Vectors
  are kept.
- ``init``: the architecture's own initialisation, of everything.
- ``*_keepemb``: the same, with all embeddings, the unembedding and the norms kept (Heap et al., "R-"): isolates what
  was learned in between.

Under ``resample`` and ``permute`` an SSM's ``A_log`` gets the architecture's own initialisation: drawn at random, the
state explodes. Buffers (rotary frequencies) are never changed. Tied tensors are one tensor: changed once, and tied
afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import ModelBroken, ModelRefused

__all__ = ["is_matrix", "kept_parameters", "randomise", "refuse_non_finite_logits", "seed_of"]

_INITIALISED = (
    "_is_hf_initialized"  # transformers' own mark on tensors and modules that initialize_weights must not touch
)
_DECAY = "A_log"


def randomise(module: nn.Module, scheme: str, *, seed: int, k: int) -> None:
    """Randomise ``module``, which holds the trained weights, in place. Twin ``k`` of a seed is the same whatever came
    before it."""
    base, _, keep = scheme.partition("_")
    kept = kept_parameters(module) if keep else set()
    decays = {name for name, _ in module.named_parameters() if name.rsplit(".", 1)[-1] == _DECAY}
    if base == "init":
        changed = {name for name, _ in module.named_parameters()} - kept
        initialise(module, changed, seed_of(seed, scheme, k, "init"))
        return
    change = _resample if base == "resample" else _permute
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name not in kept and name not in decays and is_matrix(parameter) and parameter.is_floating_point():
                generator = torch.Generator().manual_seed(seed_of(seed, base, k, name))
                change(parameter, generator)
    if decays:
        initialise(module, decays, seed_of(seed, base, k, _DECAY))


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether at least two sides of a tensor are longer than one."""
    return sum(length > 1 for length in parameter.shape) >= 2


def kept_parameters(module: nn.Module) -> set[str]:
    """The names of the parameters that ``*_keepemb`` keeps: embeddings of all kinds, the unembedding, norms."""
    keep: set[int] = set()
    ends = [module.get_input_embeddings(), module.get_output_embeddings()]  # type: ignore[operator]
    for part in [*ends, *module.modules()]:
        if part is not None and (
            part in ends or isinstance(part, nn.Embedding) or "norm" in type(part).__name__.lower()
        ):
            keep.update(id(parameter) for parameter in part.parameters())
    return {name for name, parameter in module.named_parameters() if id(parameter) in keep}


def initialise(module: nn.Module, names: set[str], seed: int) -> None:
    """The architecture's own initialisation for the named parameters only; the global random state is left as it was.

    Raises ModelRefused if the module has none, or if it leaves one of them as trained.
    """
    start: Callable[[], None] | None = getattr(module, "initialize_weights", None)
    if start is None:
        raise ModelRefused(
            f"{type(module).__name__} has no initialisation of its own; choose scheme resample or permute"
        )
    parameters = {name: parameter for name, parameter in module.named_parameters() if name in names}
    before = {name: (parameter._version, _sample(parameter)) for name, parameter in parameters.items()}
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with _unmarked(module, set(map(id, parameters.values()))), torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        start()
    untouched = [
        name
        for name, parameter in parameters.items()
        if parameter._version == before[name][0] and torch.equal(_sample(parameter), before[name][1])
    ]
    if untouched:
        raise ModelRefused(
            f"the initialisation of {type(module).__name__} leaves {', '.join(untouched[:3])} as trained; choose "
            "scheme resample or permute"
        )


def refuse_non_finite_logits(module: nn.Module, vocab_size: int, where: str) -> None:
    """Raise ModelBroken if a short random batch gives logits that are NaN or infinite."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocab_size, (2, 16), generator=generator).to(next(module.parameters()).device)
    with torch.no_grad():
        logits = module(input_ids=ids, use_cache=False).logits
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
