"""Directories of coders, as SAELens reads and writes them: ``cfg.json`` and ``sae_weights.safetensors``.

SAELens has the encoder as (d_in, d_sae); here a latent is a row of it. Kinds that SAELens does not have are written in
the same two files, under an architecture of their own that it refuses.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UsageProblem
from ..models.sites import transformer_lens_name
from .coder import kind_named
from .config import ARCHITECTURES, CONFIG, WEIGHTS, BadCoder, CoderConfig, read_config

if TYPE_CHECKING:
    from .coder import Coder

__all__ = ["CONFIG", "WEIGHTS", "BadCoder", "load_coder", "save_coder"]

_VERSION = "6.0.0"
"""of SAELens, whose format this is: with an older one in it, a directory is taken for one from before version 6"""

_TENSORS = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "interp_assert_rank1": ("v_enc", "w_enc", "b_enc", "v_dec", "w_dec", "b_dec"),
}
_TRANSPOSED = {"W_enc"}
_FACTORS = ("scaling_factor", "finetuning_scaling_factor")
"""of latents, one for each; written by old versions of SAELens even where they were never trained and are 1"""


def save_coder(coder: Coder, directory: str | os.PathLike[str]) -> Path:
    """Write the two files, making the directory; returns it. A directory that has them already is overwritten.

    Raises UsageProblem for a kind that has no form on disk, or if a file is in the way.
    """
    from safetensors.torch import save_file

    architecture = next((name for name, kind in ARCHITECTURES.items() if kind == coder.kind), None)
    if architecture is None:
        raise UsageProblem(
            f"coders of kind {coder.kind!r} have no form on disk; {', '.join(ARCHITECTURES.values())} do"
        )
    target = Path(directory)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except FileExistsError as problem:
        raise UsageProblem(f"{target} is a file; a coder is saved as a directory") from problem
    own = dict(coder.named_parameters())
    tensors = {
        name: (own[name].T if name in _TRANSPOSED else own[name]).detach().float().cpu().contiguous()
        for name in _TENSORS[architecture]
    }
    save_file(tensors, target / WEIGHTS)
    (target / CONFIG).write_text(json.dumps(_config(coder, architecture), indent=2), encoding="utf-8")
    return target


def load_coder(directory: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Coder:
    """The coder in a directory that ``save_coder`` or SAELens wrote, in float32 and evaluation mode.

    Raises BadCoder naming the file and what is wrong: missing or unreadable files, settings of a wrong type, an
    architecture or an activation that is not known, a missing k, tensors that are missing, too many or of another shape
    than the settings say, numbers that are not finite, settings and recipe that contradict each other.
    """
    source = Path(directory)
    config = read_config(source)
    tensors = _read_tensors(source, config)
    if config.by_decoder_norm:
        norms = torch.linalg.vector_norm(tensors["W_dec"], dim=-1).clamp_min(1e-12)
        tensors["W_enc"] = tensors["W_enc"] * norms
        tensors["b_enc"] = tensors["b_enc"] * norms
        tensors["W_dec"] = tensors["W_dec"] / norms[:, None]
    coder = _empty(config)
    with torch.no_grad():
        for name, parameter in coder.named_parameters():
            parameter.copy_(tensors[name].T if name in _TRANSPOSED else tensors[name])
    coder.subtracts_b_dec, coder.normalises = config.subtracts_b_dec, config.normalises
    coder.site, coder.head, coder.origin = config.site, config.head, config.origin
    return coder.to(device).requires_grad_(False).eval()


def _config(coder: Coder, architecture: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"sae_lens_version": _VERSION}
    if coder.site is not None:
        metadata["hook_name"] = transformer_lens_name(coder.site) or coder.site
    if coder.head is not None:
        metadata["hook_head_index"] = coder.head
    if coder.origin is not None:
        origin = coder.origin
        metadata |= {
            "model_name": origin.model,
            "interp_assert": {
                "site": origin.site,
                "recipe": origin.recipe.as_dict(),
                "head": origin.head,
                "documents": origin.documents,
                "vectors": origin.vectors,
                "loss": origin.loss,
            },
        }
    config: dict[str, Any] = {
        "architecture": architecture,
        "d_in": coder.d_in,
        "d_sae": coder.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": coder.subtracts_b_dec,
        "normalize_activations": coder.normalises,
        "reshape_activations": "none",
        "metadata": metadata,
    }
    if coder.selects_k:
        config["k"] = coder.settings().get("k", getattr(coder, "k", None))
    if coder.of_matrices:
        config["shape"] = list(coder.shape)
    return config


def _empty(config: CoderConfig) -> Coder:
    made = kind_named(ARCHITECTURES[config.architecture])
    if config.k is None:
        return made(config.shape, config.d_sae)
    return made(config.shape, config.d_sae, config.k)  # type: ignore[call-arg]  # kinds that select k are made with it


def _shapes(config: CoderConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # no memory is asked for before the file has shown that it holds as much
        own = dict(_empty(config).named_parameters())
    return {
        name: tuple(reversed(own[name].shape)) if name in _TRANSPOSED else tuple(own[name].shape)
        for name in _TENSORS[config.architecture]
    }


def _read_tensors(source: Path, config: CoderConfig) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        shapes = _shapes(config)
    except (RuntimeError, OverflowError) as problem:
        raise BadCoder(f"{source / CONFIG}: {problem}") from problem
    try:
        tensors: dict[str, torch.Tensor] = load_file(source / WEIGHTS)
    except (OSError, SafetensorError) as problem:
        raise BadCoder(f"{source / WEIGHTS} cannot be read: {problem}; it may be truncated") from problem
    _drop_factors(source, tensors)
    missing, extra = sorted(shapes.keys() - tensors.keys()), sorted(tensors.keys() - shapes.keys())
    if missing or extra:
        what = [f"lacks {', '.join(missing)}"] if missing else []
        what += [f"has {', '.join(extra)}, which this architecture does not use"] if extra else []
        raise BadCoder(f"{source / WEIGHTS} {' and '.join(what)}; it should have {', '.join(shapes)}")
    if config.scaled:
        raise BadCoder(f"{source / CONFIG}: finetuning_scaling_factor is true; fold the factors into W_dec, a row each")
    return {name: _whole(source, name, tensors[name], shape) for name, shape in shapes.items()}


def _whole(source: Path, name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    found = tuple(tensor.shape)
    if found != shape:
        raise BadCoder(f"{source / WEIGHTS}: {name} has shape {found}; {CONFIG} says {shape}")
    if not tensor.is_floating_point():
        raise BadCoder(f"{source / WEIGHTS}: {name} is {str(tensor.dtype).removeprefix('torch.')}, not floating point")
    single = tensor.float()
    if not bool(torch.isfinite(single).all()):
        raise BadCoder(f"{source / WEIGHTS}: {name} holds numbers that are not finite in float32")
    return single


def _drop_factors(source: Path, tensors: dict[str, torch.Tensor]) -> None:
    for name in _FACTORS:
        if name in tensors and bool((tensors[name].float() == 1.0).all()):
            del tensors[name]
        elif name in tensors:
            raise BadCoder(f"{source / WEIGHTS}: {name} is not 1 throughout; fold it into W_dec, a row each")
