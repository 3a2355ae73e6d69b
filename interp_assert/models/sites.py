"""The names of everything that can be read or written inside a model, their shapes, and the names other libraries
give them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from ..errors import SiteNotAvailable

SHAPES = {
    "embed": "(batch, pos, d_model)",
    "resid_pre": "(batch, pos, d_model)",
    "resid_mid": "(batch, pos, d_model)",
    "resid_post": "(batch, pos, d_model)",
    "attn.out": "(batch, pos, d_model)",
    "attn.out_raw": "(batch, pos, d_model)",
    "attn.q": "(batch, pos, head, d_head)",
    "attn.k": "(batch, pos, kv_head, d_head)",
    "attn.v": "(batch, pos, kv_head, d_value)",
    "attn.pattern": "(batch, head, query, key)",
    "attn.head_out": "(batch, pos, head, d_value)",
    "mlp.out": "(batch, pos, d_model)",
    "mlp.out_raw": "(batch, pos, d_model)",
    "mlp.neurons": "(batch, pos, d_mlp)",
    "ssm.in_proj": "(batch, pos, d_in)",
    "ssm.x_proj": "(batch, pos, d_x)",
    "ssm.conv": "(batch, pos, d_conv)",
    "state": "(batch, pos, ...)",
    "ssm.y": "(batch, pos, d_inner)",
    "ssm.gated": "(batch, pos, d_inner)",
    "ssm.out": "(batch, pos, d_model)",
    "ssm.out_raw": "(batch, pos, d_model)",
    "mixer.out": "(batch, pos, d_model)",
    "mixer.out_raw": "(batch, pos, d_model)",
    "side.out": "(batch, pos, d_model)",
    "side.out_raw": "(batch, pos, d_model)",
    "final_norm": "(batch, pos, d_model)",
    "logits": "(batch, pos, vocab)",
}
"""Shape of each site, by the part of its name after ``blocks.{i}.``."""

SHAPES |= {
    part.replace(".", f".{number}.", 1): shape for part, shape in SHAPES.items() if "." in part for number in range(8)
}  # a block that adds several components of one kind numbers them: attn.0.out, attn.1.out

_BLOCK = re.compile(r"^blocks\.(-?\d+|\*)\.(.+)$")

_TRANSFORMER_LENS = {
    "hook_embed": "embed",
    "ln_final.hook_out": "final_norm",
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn.out",
    "hook_mlp_out": "mlp.out",
    "attn.hook_pattern": "attn.pattern",
    "attn.hook_rot_q": "attn.q",
    "attn.hook_rot_k": "attn.k",
    "attn.hook_v": "attn.v",
    "attn.hook_z": "attn.head_out",
    "mlp.hook_post": "mlp.neurons",
}


_BY_OUR_NAME = {ours: theirs for theirs, ours in _TRANSFORMER_LENS.items()}


def transformer_lens_name(site: str) -> str | None:
    """``blocks.3.resid_post`` -> ``blocks.3.hook_resid_post``; None where TransformerLens has no hook that is the same
    whatever the model.
    """
    part = part_of(site)
    if part not in _BY_OUR_NAME or part in ("attn.q", "attn.k"):  # whose hooks are others where positions are rotated
        return None
    return site.removesuffix(part) + _BY_OUR_NAME[part]


def part_of(site: str) -> str:
    """``blocks.3.attn.out`` -> ``attn.out``; a site outside the blocks is its own part."""
    match = _BLOCK.match(site)
    return match.group(2) if match else site


def unnumbered(part: str) -> str:
    """``mlp.1.out`` -> ``mlp.out``: which of several components of a kind it is, left out."""
    return ".".join(piece for piece in part.split(".") if not piece.isdigit())


def position_axis(site: str) -> int:
    """The axis of positions in a site's value: that of the queries in a pattern."""
    return 2 if unnumbered(part_of(site)) == "attn.pattern" else 1


def block_of(site: str) -> int | None:
    """The number of the block in a site's name; None for sites outside the blocks and for all of them (``*``)."""
    match = _BLOCK.match(site)
    return int(match.group(1)) if match and match.group(1) != "*" else None


def expand(names: str | Iterable[str], available: Iterable[str], missing: dict[str, str], n_blocks: int) -> list[str]:
    """The sites that ``names`` mean, in order and without repeats.

    ``blocks.*.resid_post`` stands for every block that has it, ``blocks.-1.`` counts from the end, TransformerLens
    hook names (``blocks.3.hook_resid_post``) are aliases.

    Raises:
        SiteNotAvailable: a name that this model does not have; the message lists those it has, or why this one is
            missing.
    """
    have = dict.fromkeys(available)
    wanted: dict[str, None] = {}
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise SiteNotAvailable(
                f"A site is named by a string such as 'blocks.0.resid_post'; {name!r} is {type(name).__name__}."
            )
        match = _BLOCK.match(name)
        if match is None:
            found = [_TRANSFORMER_LENS.get(name, name)]
        else:
            index, part = match.groups()
            part = _TRANSFORMER_LENS.get(part, part)
            if index == "*":
                found = [site for i in range(n_blocks) if (site := f"blocks.{i}.{part}") in have] or [
                    f"blocks.*.{part}"
                ]
            else:
                number = int(index)
                found = [f"blocks.{number + n_blocks if number < 0 else number}.{part}"]
        for site in found:
            if site not in have:
                raise SiteNotAvailable(_explain(name, site, have, missing, n_blocks))
            wanted[site] = None
    return list(wanted)


def summarise(available: Iterable[str]) -> str:
    """The available sites in a line: block sites are listed once, with the number of blocks that have them."""
    return ", ".join(name + count.replace(", ", " (") + (")" if count else "") for name, _, count in listing(available))


def listing(
    available: Iterable[str],
    seen: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    shapes: Mapping[str, str] = SHAPES,
) -> list[tuple[str, str, str]]:
    """(name, shape, in how many blocks) of each kind of site; sizes are stated of those ``seen`` in some pass."""
    members: dict[str, list[str]] = {}
    for site in available:
        key = f"blocks.{{i}}.{part_of(site)}" if block_of(site) is not None else site
        members.setdefault(key, []).append(site)
    return [
        (key, _described(sites, seen, shapes[part_of(sites[0])]), f", {len(sites)} blocks" if "{i}" in key else "")
        for key, sites in members.items()
    ]


def _described(sites: Sequence[str], seen: Mapping[str, tuple[int, ...]], shape: str) -> str:
    """``(batch, pos, kv_head=2, d_head=8)``: the axes of a kind of site, and their sizes where they are the model's."""
    axes = shape.strip("()").split(", ")
    shapes = [seen[site] for site in sites if site in seen]
    if "..." in axes:
        axes = axes if not shapes else [*axes[:2], *["..."] * (len(shapes[0]) - 2)]
    elif any(len(shape) != len(axes) for shape in shapes):
        axes = [*axes[:-1], "stream", axes[-1]]
    named = []
    for at, axis in enumerate(axes):
        sizes = sorted({shape[at] for shape in shapes if len(shape) == len(axes)})
        own = sizes and axis not in ("batch", "pos", "query", "key")
        named.append(f"{axis}={'|'.join(map(str, sizes))}".removeprefix("...=") if own else axis)
    return f"({', '.join(named)})"


def _explain(name: str, site: str, have: dict[str, None], missing: dict[str, str], n_blocks: int) -> str:
    part = part_of(site)
    number = block_of(site) if "*" not in site else None
    reason = missing.get(site) or missing.get(f"blocks.*.{part}") or missing.get(part)
    if number is not None and not 0 <= number < n_blocks:
        reason = f"the model has {n_blocks} blocks, 0 to {n_blocks - 1}"
    if reason is None and part not in SHAPES:
        reason = "no site has this name"
    if reason is None:
        reason = "this block has none" if any(part_of(other) == part for other in have) else "the model has none"
    return f"Site {name!r} is not available: {reason}. This model has: {summarise(have)}."
