"""Identities of the residual stream: it goes on from block to block, each block adds to it, and the readout makes the
logits of it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import torch

from ..models.proving.summing import replayed
from ..models.recording.graph import Recording
from ..models.recording.recorder import record
from .check import Comparison
from .distances import bitwise, distance, distances
from .finding import Example, Seen
from .passes import Passes, stream_of

__all__ = [
    "compare_blocks",
    "compare_chain",
    "compare_readout",
    "compare_repeats",
    "compare_sums",
    "lacks_readout",
    "lacks_sums",
]


def compare_repeats(passes: Passes, example: Example) -> Comparison:
    """The same input again, after another one: the same bits at every block."""
    sites = stream_of(passes)
    first = passes.look(example.ids, sites)
    other = torch.flip(example.ids, dims=(1,))[:, : max(1, example.ids.shape[1] - 1)]
    passes.look(other, sites)
    again = passes.look(example.ids, sites)
    return Comparison(bitwise(again, first, sites, "the same input twice gives different values"))


def compare_chain(passes: Passes, example: Example) -> Comparison:
    """What leaves a block is what enters the next, except where the model itself works on it in between."""
    anatomy = passes.anatomy
    pairs = [
        (f"blocks.{index}.resid_pre", f"blocks.{index - 1}.resid_post")
        for index in range(1, anatomy.n_blocks)
        if anatomy.joined[index]
    ]
    pairs = [pair for pair in pairs if pair[0] in anatomy.routes and pair[1] in anatomy.routes]
    values = passes.look(example.ids, [site for pair in pairs for site in pair])
    return Comparison(
        [
            Seen(
                pre,
                distance(values[pre], values[post]),
                f"what enters a block is not {post}, which left the one before",
            )
            for pre, post in pairs
        ]
    )


def compare_blocks(passes: Passes, example: Example) -> Comparison:
    """Every block of the list runs and adds something to the stream."""
    seen = [
        Seen(None, 1.0, f"{path} never runs though its neighbours do", exact=True) for path in _idle(passes, example)
    ]
    silent = _silent(passes, example)
    if silent:
        with passes.with_fresh_weights() as fresh:
            again = _silent(fresh, example)
        silent = [index for index in silent if index in again]
    seen += [
        Seen(
            f"blocks.{index}.resid_post",
            float(index in silent),
            "the block adds nothing to the stream, whatever its weights",
            exact=True,
        )
        for index in range(passes.anatomy.n_blocks)
    ]
    return Comparison(seen)


def _silent(passes: Passes, example: Example) -> list[int]:
    """The blocks whose exit is their entry, bit for bit."""
    pairs = {
        index: (f"blocks.{index}.resid_pre", f"blocks.{index}.resid_post") for index in range(passes.anatomy.n_blocks)
    }
    pairs = {i: pair for i, pair in pairs.items() if all(site in passes.anatomy.routes for site in pair)}
    values = passes.look(example.ids, [site for pair in pairs.values() for site in pair])
    return [i for i, (pre, post) in pairs.items() if torch.equal(values[pre], values[post])]


def _idle(passes: Passes, example: Example) -> list[str]:
    """Members of the lists that hold the blocks which a pass does not call, though it calls others of their class.

    (A class of which none is called waits for another input: the cross-attention blocks of a model that sees images.)
    """
    holders = {block.path.rpartition(".")[0] for block in passes.anatomy.blocks}
    members = {
        f"{holder}.{name}": module
        for holder in holders
        for name, module in passes.module.get_submodule(holder).named_children()
        if isinstance(
            passes.module.get_submodule(holder), (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)
        )
        and any(True for _ in module.children())
    }
    ran: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda _module, _args, path=path: ran.add(path))
        for path, module in members.items()
    ]
    try:
        passes.logits(example.ids)
    finally:
        for handle in handles:
            handle.remove()
    called = {type(members[path]) for path in ran}
    return [path for path, module in members.items() if path not in ran and type(module) in called]


def lacks_sums(passes: Passes) -> str | None:
    """Why no block's sum is known."""
    if any(replay is not None for replay in passes.anatomy.replays):
        return None
    reasons = [reason for site, reason in passes.anatomy.missing.items() if site.endswith(".out")]
    return f"the addends of its blocks are not known: {reasons[0] if reasons else 'no residual sum was found'}"


def compare_sums(passes: Passes, example: Example) -> Comparison:
    """What enters a block plus what its components add is what leaves it."""
    anatomy = passes.anatomy
    known = [block for block, replay in zip(anatomy.blocks, anatomy.replays, strict=True) if replay is not None]
    parts = {
        block.index: [
            f"blocks.{block.index}.{part}"
            for part in ("resid_pre", *(f"{name}.out" for name in block.names), "resid_post")
        ]
        for block in known
    }
    values = passes.look(example.ids, [site for sites in parts.values() for site in sites])
    seen = []
    for block in known:
        replay = anatomy.replays[block.index]
        assert replay is not None
        total = replayed(anatomy, block.index, replay, values)
        post = f"blocks.{block.index}.resid_post"
        addends = " + ".join(("resid_pre", *(f"{name}.out" for name in block.names)))
        seen.append(Seen(post, distance(total, values[post]), f"{addends} is not resid_post"))
    return Comparison(seen)


def lacks_readout(passes: Passes) -> str | None:
    """Why there is no readout to compare."""
    if passes.anatomy.readout is not None:
        return None
    return f"its readout is not known: {passes.anatomy.missing.get('unembed', 'not found')}"


def compare_readout(passes: Passes, example: Example) -> Comparison:
    """Unembedding what leaves the last block gives the logits, each norm on the way normalises once, and logits of
    chosen positions are those of all positions."""
    last = f"blocks.{passes.anatomy.n_blocks - 1}.resid_post"
    values = passes.look(example.ids, [last])
    what = f"unembedding {last} does not give the logits"
    try:
        seen = distances({"logits": passes.unembed(values[last])}, values, ["logits"], what)
    except RuntimeError as error:  # torch's way to say that recorded shapes do not fit other residuals
        seen = [Seen("logits", inf, f"{what}: {str(error).splitlines()[0]}", exact=True)]
    chosen = [example.ids.shape[1] // 2]
    alone = passes.look(example.ids, [], positions=chosen)["logits"]
    what = f"the logits of position {chosen[0]} read by itself are not those of the full pass"
    seen.append(Seen("logits", distance(alone, values["logits"][:, chosen]), what))
    return Comparison([*seen, *_norms_once(passes, example)])


def _norms_once(passes: Passes, example: Example) -> list[Seen]:
    recording = record(passes.module, lambda: passes.logits(example.ids), (example.ids.shape[0], example.ids.shape[1]))
    counts = normalisations(recording, passes.anatomy.blocks[-1].path)
    return [
        Seen(
            "final_norm",
            float(count > 1),
            f"{path} normalises {count} times between the last block and the logits",
            True,
        )
        for path, count in counts.items()
    ]


_NORMALISING = ("native_layer_norm", "_fused_rms_norm", "rsqrt", "native_group_norm", "native_batch_norm")


def normalisations(recording: Recording, last_block: str) -> Mapping[str, int]:
    """How often each module divides by a length after the last call of the last block."""
    ends = [call.end_op for call in recording.calls if call.path == last_block]
    counts: dict[str, int] = {}
    for op in recording.ops[max(ends, default=0) :]:
        if op.name.split(".")[1] in _NORMALISING and op.call >= 0 and recording.calls[op.call].path:
            path = recording.calls[op.call].path
            counts[path] = counts.get(path, 0) + 1
    return counts
