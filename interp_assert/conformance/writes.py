"""Identities of reading and writing: what is put back as it was changes nothing, what is overwritten changes its own
block first and no other row, and every hook fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from ..models.edits import Edit, as_edits, carried_out
from ..models.sites import SHAPES, block_of, part_of, position_axis
from ..models.taps.kernels import KernelTap
from ..models.taps.tap import Route
from .check import Comparison
from .distances import bitwise, distance, distances
from .finding import Example, Seen
from .passes import Passes, stream_of

__all__ = ["compare_foreign_rows", "compare_overwriting", "compare_self_patch", "compare_write_back", "other_values"]


MOST_ROWS = 64
"""Of a batch in which each row overwrites a site: the states of recurrent models are large."""


def compare_write_back(passes: Passes, example: Example) -> Comparison:
    """Reading every site, and writing every site back in the same pass, leave the logits as they were."""
    sites = _writable(passes)
    plain = {"logits": passes.logits(example.ids)}
    # A fused attention hands out no probabilities, a fused scan no states: to read them is to compute them in steps,
    # which rounds differently.
    seen_through = [site for site in sites if not _in_steps(passes.anatomy.routes[site])]
    seen = bitwise(passes.look(example.ids, seen_through), plain, ["logits"], "reading sites changes the logits")
    read = passes.look(example.ids, sites)  # raises where a hook never fires
    seen += [_shape(site, read[site], example.ids) for site in sites]
    seen += distances(read, plain, ["logits"], "reading what is fused changes the logits")
    return Comparison(
        [*seen, *_unmoved(passes, example, read, sites, lambda site: torch.clone, "writing back unchanged")]
    )


def compare_self_patch(passes: Passes, example: Example) -> Comparison:
    """Writing each site's own value, read in another pass, leaves the logits as they were."""
    sites = _writable(passes)
    values = passes.look(example.ids, sites)
    what = "writing the value read in another pass"
    return Comparison(_unmoved(passes, example, values, sites, lambda site: lambda _tensor: values[site].clone(), what))


def _shape(site: str, value: torch.Tensor, ids: torch.Tensor) -> Seen:
    """Batch first, and the axis of positions where every site of its kind has it."""
    axis = position_axis(site)
    fits = value.ndim > axis and (value.shape[0], value.shape[axis]) == tuple(ids.shape)
    documented = SHAPES.get(part_of(site), "(batch, pos, ...)")
    what = f"the site has shape {tuple(value.shape)} for ids {tuple(ids.shape)}, not {documented}"
    return Seen(site, 0.0 if fits else 1.0, "" if fits else what, exact=True)


def _in_steps(route: Route) -> bool:
    return any(isinstance(tap, KernelTap) or getattr(tap, "side", None) == "inside" for tap in route.read)


def _unmoved(
    passes: Passes,
    example: Example,
    plain: dict[str, torch.Tensor],
    sites: Sequence[str],
    edit: Callable[[str], Callable[[torch.Tensor], torch.Tensor]],
    what: str,
) -> list[Seen]:
    """All sites are written at once; only if that moves the logits, each by itself, to name the one that does."""
    after = passes.look(example.ids, [], {site: edit(site) for site in sites})
    together = distance(after["logits"], plain["logits"])
    if together == 0:
        return [Seen(site, 0.0, f"{what} changes the logits", exact=True) for site in sites]
    seen = []
    for site in sites:
        alone = passes.look(example.ids, [], {site: edit(site)})
        seen.append(Seen(site, distance(alone["logits"], plain["logits"]), f"{what} changes the logits", exact=True))
    return [*seen, Seen(None, together, f"{what} at all sites at once changes the logits", exact=True)]


def compare_overwriting(passes: Passes, example: Example) -> Comparison:
    """Overwriting a site changes its own block's exit, nothing before that, and the logits.

    One batch serves many sites: all rows are alike, and each site is overwritten in a row of its own.
    """
    seen: list[Seen] = []
    for sites in _groups(passes, _writable(passes), example.ids.shape[1]):
        ids = example.ids[:1].repeat(len(sites) + 1, 1)
        before, after = _overwritten(passes, ids, sites)
        dead = [site for row, site in enumerate(sites, 1) if not _arrives(passes, before, after, row, site)]
        if dead:
            with passes.with_fresh_weights() as fresh:
                again, changed = _overwritten(fresh, ids, sites)
            numbers = {site: row for row, site in enumerate(sites, 1)}
            dead = [site for site in dead if not _arrives(passes, again, changed, numbers[site], site)]
        for row, site in enumerate(sites, 1):
            where = "the logits" if block_of(site) is None else "its own block's exit or the logits"
            seen.append(Seen(site, float(site in dead), f"overwriting the site does not change {where}", exact=True))
            seen += [
                Seen(
                    site,
                    distance(after[place][row], before[place][row]),
                    f"overwriting the site moves {place}, which comes before it",
                )
                for place in _before(passes, site)
            ]
    return Comparison(seen)


def _overwritten(
    passes: Passes, ids: torch.Tensor, sites: Sequence[str]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    places = stream_of(passes)
    # Written back, not left alone: where probabilities are edited attention is computed in steps and rounds otherwise.
    before = passes.look(ids, places, dict.fromkeys(sites, torch.clone))
    return before, passes.look(
        ids, places, {site: _in_row(row, site, [other_values]) for row, site in enumerate(sites, 1)}
    )


def _arrives(
    passes: Passes, before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], row: int, site: str
) -> bool:
    """Whether an edit of a site is seen at its own block's exit and in the logits."""
    exit_ = f"blocks.{block_of(site)}.resid_post"
    return all(not torch.equal(after[place][row], before[place][row]) for place in (exit_, "logits") if place in after)


def _before(passes: Passes, site: str) -> list[str]:
    """The places of the stream that are computed before a site, except one that is read where the site is written: the
    exit of a block may be the very tensor that enters the next."""
    block, routes = block_of(site), passes.anatomy.routes
    stream = [
        place for place in stream_of(passes) if place != "logits" and routes[site].write not in routes[place].read
    ]
    if block is None:
        return stream if site == "final_norm" else []
    entry = f"blocks.{block}.resid_pre"
    return [place for place in stream if (block_of(place) or 0) < block or (place == entry and place != site)]


def compare_foreign_rows(passes: Passes, example: Example) -> Comparison:
    """An edit of one row, at every site, moves no other row, and nothing of it stays behind when the pass is over."""
    sites = _writable(passes)
    edits = as_edits(other_values if example.edit is None else example.edit)
    row = 0 if example.position is None else example.position % example.ids.shape[0]
    others = [other for other in range(example.ids.shape[0]) if other != row]
    places = stream_of(passes)
    before = passes.look(example.ids, places, dict.fromkeys(sites, torch.clone))

    def moved(edited: Sequence[str]) -> dict[str, float]:
        after = passes.look(example.ids, places, {site: _in_row(row, site, edits) for site in edited})
        return {place: distance(after[place][others], before[place][others]) for place in places}

    together = moved(sites)
    culprits = sites if max(together.values()) > passes.limit else []
    seen = [Seen(site, max(moved([site]).values()), "an edit of one row moves another row") for site in culprits]
    seen += [Seen(place, size, "edits of all sites in one row move another row") for place, size in together.items()]
    again = passes.look(example.ids, places, dict.fromkeys(sites, torch.clone))
    return Comparison([*seen, *bitwise(again, before, places, "an edit is still felt in the next pass")])


def other_values(tensor: torch.Tensor) -> torch.Tensor:
    """Different values of the same kind and size: features (or keys) rolled by one."""
    rolled = tensor.roll(1, dims=-1)
    return rolled if not torch.equal(rolled, tensor) else tensor + 1


def _in_row(row: int, site: str, edits: Sequence[Edit]) -> Edit:
    def in_row(tensor: torch.Tensor) -> torch.Tensor:
        edited, part = tensor.clone(), tensor[row : row + 1]
        edited[row : row + 1] = carried_out(site, edits, part, part.clone())
        return edited

    return in_row


def lacks_writable(passes: Passes) -> str | None:
    """Why no site can be written."""
    if _writable(passes):
        return None
    reasons = [passes.anatomy.read_only(site) for site in passes.anatomy.routes]
    return f"its sites can be read only: {next((reason for reason in reasons if reason), 'it has none')}"


def _writable(passes: Passes) -> list[str]:
    return [site for site in passes.anatomy.routes if passes.anatomy.read_only(site) is None]


def _groups(passes: Passes, sites: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    """As many sites at a time as rows fit into a batch."""
    at_once = max(1, min(MOST_ROWS, passes.model.batch_tokens // length) - 1)
    for start in range(0, len(sites), at_once):
        yield sites[start : start + at_once]
