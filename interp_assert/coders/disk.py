"""Directories of coders, as SAELens 6.x reads and writes them: ``cfg.json`` and ``sae_weights.safetensors``.

SAELens has the encoder as (d_in, d_sae); here a latent is a row of it. What SAELens fills in without a word (a missing
k becomes 100) or leaves out (tensors that it does not know) is refused here. Kinds that SAELens does not have are
written in the same two files, under an architecture of their own that it refuses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InterpError, UsageProblem
from .recipe import Recipe, whole_number

if TYPE_CHECKING:
    from .coder import Coder

__all__ = ["CONFIG", "WEIGHTS", "BadCoder", "load_coder", "save_coder"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_VERSION = "6.0.0"
"""of SAELens, whose format this is: with an older one in it, a directory is taken for one from before version 6"""

_ARCHITECTURES = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu", "interp_assert_rank1": "rank1"}
_TENSORS = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "interp_assert_rank1": ("v_enc", "w_enc", "b_enc", "v_dec", "w_dec", "b_dec"),
}
_TRANSPOSED = {"W_enc"}
_NOT_FOLDED = ("constant_norm_rescale", "layer_norm", "covariance_whitening")


class BadCoder(UsageProblem):
    """A directory that holds no coder, a damaged one, or one whose files contradict each other."""


def save_coder(coder: Coder, directory: str | os.PathLike[str]) -> Path:
    """Write the two files, making the directory; returns it. A directory that has them already is overwritten.

    Raises UsageProblem for a kind that has no form on disk.
    """
    from safetensors.torch import save_file

    architecture = next((name for name, kind in _ARCHITECTURES.items() if kind == coder.kind), None)
    if architecture is None:
        raise UsageProblem(
            f"coders of kind {coder.kind!r} have no form on disk; {', '.join(_ARCHITECTURES.values())} do"
        )
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
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

    Raises BadCoder naming the file and what is wrong: missing or unreadable files, an architecture that is not known,
    a missing k, tensors that are missing, too many or of another shape, numbers that are not finite, an activation
    scale that was not folded in.
    """
    source = Path(directory)
    config = _read_config(source)
    architecture = config.get("architecture")
    if architecture not in _ARCHITECTURES:
        raise BadCoder(f"{source / CONFIG}: architecture {architecture!r} is not one of {', '.join(_ARCHITECTURES)}")
    _refuse_what_is_not_folded(source, config)
    coder = _empty(source, config, str(architecture))
    tensors = _read_tensors(source, _shapes(coder, str(architecture)))
    if config.get("rescale_acts_by_decoder_norm") and architecture == "topk":
        norms = torch.linalg.vector_norm(tensors["W_dec"], dim=-1).clamp_min(1e-12)
        tensors["W_enc"] = tensors["W_enc"] * norms
        tensors["b_enc"] = tensors["b_enc"] * norms
        tensors["W_dec"] = tensors["W_dec"] / norms[:, None]
    with torch.no_grad():
        for name, parameter in coder.named_parameters():
            parameter.copy_(tensors[name].T if name in _TRANSPOSED else tensors[name])
    coder.subtracts_b_dec = bool(config.get("apply_b_dec_to_input", True))
    coder.origin = _origin(config)
    return coder.to(device).requires_grad_(False).eval()


def _config(coder: Coder, architecture: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"sae_lens_version": _VERSION}
    if coder.origin is not None:
        origin = coder.origin
        metadata |= {
            "model_name": origin.model,
            "hook_name": origin.site,
            "interp_assert": {
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
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": metadata,
    }
    if coder.selects_k:
        config["k"] = coder.settings().get("k", getattr(coder, "k", None))
    if coder.of_matrices:
        config["shape"] = list(coder.shape)
    return config


def _read_config(source: Path) -> dict[str, Any]:
    if not source.is_dir():
        raise BadCoder(f"{source}: no such directory; a coder is a directory with {CONFIG} and {WEIGHTS}")
    for name in (CONFIG, WEIGHTS):
        if not (source / name).is_file():
            raise BadCoder(f"{source}: {name} is missing; a coder is a directory with {CONFIG} and {WEIGHTS}")
    try:
        config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BadCoder(f"{source / CONFIG} cannot be read: {problem}") from problem
    if not isinstance(config, dict):
        raise BadCoder(f"{source / CONFIG} holds {type(config).__name__}, not the settings of a coder")
    return config


def _refuse_what_is_not_folded(source: Path, config: Mapping[str, Any]) -> None:
    normalised = config.get("normalize_activations") or "none"
    if normalised in _NOT_FOLDED:
        raise BadCoder(
            f"{source / CONFIG}: normalize_activations={normalised!r} scales every input anew; a coder is judged on "
            "activations as the model has them: fold the scale into its weights before saving it"
        )


def _empty(source: Path, config: Mapping[str, Any], architecture: str) -> Coder:
    from .coder import kind_named

    made = kind_named(_ARCHITECTURES[architecture])
    needed = ["d_in", "d_sae"] + (["k"] if made.selects_k else []) + (["shape"] if made.of_matrices else [])
    for name in needed:
        if config.get(name) is None:
            raise BadCoder(f"{source / CONFIG}: {name} is missing, which a {architecture} coder is nothing without")
    try:
        d_in, d_sae = (whole_number(name, config[name], 1) for name in ("d_in", "d_sae"))
        shape = tuple(whole_number("shape", n, 1) for n in config["shape"]) if made.of_matrices else (d_in,)
        if made.selects_k:
            k = whole_number("k", config["k"], 1)
            if k > d_sae:
                raise UsageProblem(f"k={k} of d_sae={d_sae} latents: k is at most d_sae")
            return made(shape, d_sae, k)  # type: ignore[call-arg]  # kinds that select k are made with it
        return made(shape, d_sae)
    except (UsageProblem, TypeError) as problem:
        raise BadCoder(f"{source / CONFIG}: {problem}") from problem


def _shapes(coder: Coder, architecture: str) -> dict[str, tuple[int, ...]]:
    own = dict(coder.named_parameters())
    return {
        name: tuple(reversed(own[name].shape)) if name in _TRANSPOSED else tuple(own[name].shape)
        for name in _TENSORS[architecture]
    }


def _read_tensors(source: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(source / WEIGHTS)
    except (OSError, SafetensorError) as problem:
        raise BadCoder(f"{source / WEIGHTS} cannot be read: {problem}; it may be truncated") from problem
    missing, extra = sorted(shapes.keys() - tensors.keys()), sorted(tensors.keys() - shapes.keys())
    if missing or extra:
        what = [f"lacks {', '.join(missing)}"] if missing else []
        what += [f"has {', '.join(extra)}, which this architecture does not use"] if extra else []
        raise BadCoder(f"{source / WEIGHTS} {' and '.join(what)}; it should have {', '.join(shapes)}")
    for name, shape in shapes.items():
        found = tuple(tensors[name].shape)
        if found != shape:
            raise BadCoder(f"{source / WEIGHTS}: {name} has shape {found}; {CONFIG} says {shape}")
        if not bool(torch.isfinite(tensors[name]).all()):
            raise BadCoder(f"{source / WEIGHTS}: {name} holds numbers that are not finite")
    return {name: tensor.float() for name, tensor in tensors.items()}


def _origin(config: Mapping[str, Any]) -> Any:
    """How a coder that was saved here was trained; None for any other."""
    from .coder import Origin

    metadata = config.get("metadata")
    ours = metadata.get("interp_assert") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(ours, dict):
        return None
    try:
        return Origin(
            model=str(metadata["model_name"]),
            site=str(metadata["hook_name"]),
            recipe=Recipe(**ours["recipe"]),
            head=ours["head"],
            documents=str(ours["documents"]),
            vectors=int(ours["vectors"]),
            loss=float(ours["loss"]),
        )
    except (KeyError, TypeError, ValueError, InterpError) as problem:
        raise BadCoder(
            f"{CONFIG}: metadata.interp_assert does not say how the coder was trained: {problem}"
        ) from problem
