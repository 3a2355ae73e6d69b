"""``cfg.json`` of a coder's directory, of all versions of SAELens, as settings of known types.

What SAELens fills in without a word (a missing k becomes 100) or takes for what it is not (any text for true) is
refused. A file from before version 6, or without a version, has its settings under older names, and says TopK by its
activation function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

from ..errors import InterpError, UsageProblem
from .coder import NORMALISATIONS, Origin, kind_named
from .recipe import Recipe, whole_number

__all__ = ["ARCHITECTURES", "CONFIG", "WEIGHTS", "BadCoder", "CoderConfig", "read_config"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

ARCHITECTURES = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu", "interp_assert_rank1": "rank1"}
"""what a directory calls a kind"""

_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
_IGNORED = "expected_average_only_in"
"""a normalisation of training, which SAELens leaves out when a coder is used"""


class BadCoder(UsageProblem):
    """A directory that holds no coder, a damaged one, or one whose files contradict each other."""


@dataclass(frozen=True)
class CoderConfig:
    """What a directory says of its coder.

    Attributes:
        architecture: one of ``ARCHITECTURES``.
        shape: of a value of the site; its product is d_in.
        d_sae: latents.
        k: active ones per vector, for kinds that keep the k largest.
        subtracts_b_dec: whether the encoder sees x - b_dec.
        normalises: how every input is scaled first, and its reconstruction scaled back; one of ``NORMALISATIONS``.
        by_decoder_norm: whether activations are to be multiplied by the norms of the decoder's rows.
        scaled: whether latents have a factor of their own after the activation.
        site: where it was trained, by our name or TransformerLens's; None if that is not said.
        head: of that site.
        origin: how it was trained, if here.
    """

    architecture: str
    shape: tuple[int, ...]
    d_sae: int
    k: int | None
    subtracts_b_dec: bool
    normalises: str
    by_decoder_norm: bool
    scaled: bool
    site: str | None
    head: int | None
    origin: Origin | None


def read_config(source: Path) -> CoderConfig:
    """Of the directory ``source``. Raises BadCoder naming the file, the setting and what is wrong with it."""
    entries = _entries(source)
    try:
        return _checked(_modern(entries))
    except UsageProblem as problem:
        raise BadCoder(f"{source / CONFIG}: {problem}") from problem


def _entries(source: Path) -> dict[str, Any]:
    if not source.is_dir():
        raise BadCoder(f"{source}: no such directory; a coder is a directory with {CONFIG} and {WEIGHTS}")
    for name in (CONFIG, WEIGHTS):
        if not (source / name).is_file():
            raise BadCoder(f"{source}: {name} is missing; a coder is a directory with {CONFIG} and {WEIGHTS}")
    try:
        entries = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise BadCoder(f"{source / CONFIG} cannot be read: {problem}") from problem
    if not isinstance(entries, dict):
        raise BadCoder(f"{source / CONFIG} holds {type(entries).__name__}, not the settings of a coder")
    return entries


def _modern(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as version 6 names them, with ``metadata`` always a mapping."""
    metadata = _of_type(entries, "metadata", dict, {})
    version = entries.get("sae_lens_version") or metadata.get("sae_lens_version")
    if version and _major(version) >= 6:
        return {**entries, "metadata": metadata}
    old = {_OLD_NAMES.get(name, name): value for name, value in entries.items()}
    old["metadata"] = {**old, **metadata}
    old.setdefault("architecture", "standard")
    of_activation = _of_type(old, "activation_fn_kwargs", dict, {})
    activation = _of_type(old, "activation_fn", str, "relu")
    if activation == "topk" or old["architecture"] == "topk":
        old["architecture"] = "topk"
        old["k"] = of_activation.get("k", old.get("k"))
    elif activation != "relu":
        raise UsageProblem(f"activation_fn {activation!r} is not one of relu, topk")
    if isinstance(old.get("normalize_activations"), bool):
        old["normalize_activations"] = _IGNORED if old["normalize_activations"] else "none"
    return old


def _major(version: Any) -> int:
    first = str(version).split(".")[0]
    if not isinstance(version, str) or not first.isdecimal():
        raise UsageProblem(f"sae_lens_version={version!r} is no version such as '6.0.0'")
    return int(first)


def _checked(entries: Mapping[str, Any]) -> CoderConfig:
    architecture = entries.get("architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise UsageProblem(f"architecture {architecture!r} is not one of {', '.join(ARCHITECTURES)}")
    made = kind_named(ARCHITECTURES[architecture])
    needed = ["d_in", "d_sae"] + (["k"] if made.selects_k else []) + (["shape"] if made.of_matrices else [])
    for name in needed:
        if entries.get(name) is None:
            raise UsageProblem(f"{name} is missing, which a {architecture} coder is nothing without")
    d_in, d_sae = (whole_number(name, entries[name], 1) for name in ("d_in", "d_sae"))
    k = whole_number("k", entries["k"], 1) if made.selects_k else None
    if k is not None and k > d_sae:
        raise UsageProblem(f"k={k} of d_sae={d_sae} latents: k is at most d_sae")
    shape: tuple[int, ...] = (d_in,)
    if made.of_matrices:
        shape = tuple(whole_number("shape", n, 1) for n in _of_type(entries, "shape", list, []))
        if len(shape) != 2 or prod(shape) != d_in:
            raise UsageProblem(f"shape={list(shape)} is not that of matrices with d_in={d_in} numbers")
    reshaped = entries.get("reshape_activations")
    if reshaped not in (None, "none", "hook_z"):
        raise UsageProblem(f"reshape_activations={reshaped!r} is not one of none, hook_z")
    metadata: dict[str, Any] = entries["metadata"]
    origin = _origin(metadata, ARCHITECTURES[architecture], d_sae, k)
    head = metadata.get("hook_head_index")
    return CoderConfig(
        architecture=architecture,
        shape=shape,
        d_sae=d_sae,
        k=k,
        subtracts_b_dec=_of_type(entries, "apply_b_dec_to_input", bool, True),
        normalises=_normalisation(entries),
        by_decoder_norm=architecture == "topk" and _of_type(entries, "rescale_acts_by_decoder_norm", bool, False),
        scaled=_of_type(entries, "finetuning_scaling_factor", bool, False),
        site=origin.site if origin is not None else _of_type(metadata, "hook_name", str, None),
        head=origin.head if origin is not None else None if head is None else whole_number("hook_head_index", head, 0),
        origin=origin,
    )


def _normalisation(entries: Mapping[str, Any]) -> str:
    how = entries.get("normalize_activations")
    if how is None or how == _IGNORED:
        return "none"
    if not isinstance(how, str) or how not in NORMALISATIONS:
        remedy = "; fold it into the weights before saving them" if how == "covariance_whitening" else ""
        raise UsageProblem(
            f"normalize_activations={how!r} is not one of {', '.join((*NORMALISATIONS, _IGNORED))}{remedy}"
        )
    return how


def _of_type(entries: Mapping[str, Any], name: str, wanted: type, otherwise: Any) -> Any:
    """A setting, or ``otherwise`` where it is missing or null."""
    value = entries.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, wanted):
        raise UsageProblem(f"{name}={value!r} must be {_CALLED[wanted]}")
    return value


_CALLED = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def _origin(metadata: Mapping[str, Any], kind: str, d_sae: int, k: int | None) -> Origin | None:
    """How a coder that was saved here was trained; None for any other."""
    ours = metadata.get("interp_assert")
    if ours is None:
        return None
    try:
        recipe = Recipe(**ours["recipe"])
        if (recipe.kind, recipe.d_sae, recipe.k) != (kind, d_sae, k):
            raise UsageProblem(
                f"its recipe is for kind={recipe.kind!r}, d_sae={recipe.d_sae} and k={recipe.k}, the coder has "
                f"kind={kind!r}, d_sae={d_sae} and k={k}"
            )
        head, loss = ours["head"], ours["loss"]
        if isinstance(loss, bool) or not isinstance(loss, (int, float)) or not isfinite(loss):
            raise UsageProblem(f"loss={loss!r} must be a number")
        texts = {"model": metadata["model_name"], "site": ours["site"], "documents": ours["documents"]}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise UsageProblem(f"{name}={text!r} must be a text")
        return Origin(
            **texts,
            recipe=recipe,
            head=None if head is None else whole_number("head", head, 0),
            vectors=whole_number("vectors", ours["vectors"], 0),
            loss=float(loss),
        )
    except (KeyError, TypeError, InterpError) as problem:
        raise UsageProblem(f"metadata.interp_assert does not say how the coder was trained: {problem}") from problem
