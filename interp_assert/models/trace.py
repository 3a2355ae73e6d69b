"""``Model.trace``: one forward pass over token ids that reads and writes sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from ..errors import SiteNotAvailable, UsageProblem
from . import calling
from .edits import Edit, along, as_edits, named
from .opened import OpenModel
from .positions import whole_numbers, within
from .proving.proof import prove_on_use
from .running import trace_module
from .sites import part_of, position_axis


class Trace(Mapping[str, torch.Tensor]):
    """What one forward pass showed: ``trace[site]`` is a tensor on the model's device, shaped as the site says and
    detached unless gradients were asked for.

    Where a site was also written, the value is the edited one: what the model went on with.
    """

    def __init__(
        self, model: str, values: dict[str, torch.Tensor], logits: torch.Tensor | None, resolve: Callable[[str], str]
    ) -> None:
        self._model = model
        self._values = values
        self._logits = logits
        self._resolve = resolve

    @property
    def logits(self) -> torch.Tensor:
        """Logits (batch, pos, vocab) at the positions that were asked for."""
        if self._logits is None:
            raise SiteNotAvailable("This trace made no logits (logits=False); trace again without that option.")
        return self._logits

    def __getitem__(self, site: str) -> torch.Tensor:
        if site in self._values:
            return self._values[site]
        known = self._resolve(site)
        if known in self._values:
            return self._values[known]
        raise SiteNotAvailable(
            f"Site {site!r} was not read in this trace of {self._model}; "
            f"read were: {', '.join(self._values) or 'none'}."
        )

    def __contains__(self, site: object) -> bool:
        return site in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Trace of {self._model}: {', '.join(self._values) or 'no sites'}>"


def run_trace(
    model: OpenModel,
    ids: Any,
    read: str | Sequence[str] = (),
    write: Mapping[str, Any] | None = None,
    *,
    positions: int | Sequence[int] | None = None,
    logits: bool = True,
    grad: bool = False,
) -> Trace:
    """Run ONE forward pass over ``ids`` (batch, pos).

    Args:
        read: sites whose values are wanted; ``blocks.*.resid_post`` means all blocks that have it.
        write: for each site an edit: a tensor or number that replaces it (broadcast to its shape), a function from
            its tensor to another of the same shape and dtype, or a list of such functions, applied in order. A name
            with ``*`` edits every site that it means. A site that is named twice (by an alias, by a ``*``) gets
            both edits in the order given. Sites that share one tensor are edited in the order in which the model
            computes them.
        positions: keep only these positions of the reads (the query axis of a pattern) and of the logits; negative
            ones count from the end. Edits always see all positions.
        logits: False makes no logits and stops as soon as all reads are there.
        grad: True records the pass for differentiation. Logits and reads are attached to whatever they were made of
            (a steering vector in an edit). Where all positions are read, the logits can be differentiated by what is
            read: ``torch.autograd.grad(trace.logits[..., id].sum(), trace[site])``; only the values of recurrent
            states are not attached themselves. Parameters get no gradient unless they ask for one.

    Returns:
        A ``Trace``: ``trace[site]`` and ``trace.logits``.

    Raises: SiteNotAvailable, BadEdit, TokenOutOfRange, EmptyBatch, ContextTooShort: with the value and what would be
        right.
    """
    ids = calling.as_ids(
        ids, vocab_size=model.vocab_size, max_positions=model.max_positions, device=model.device, model=model.id
    )
    anatomy = model.anatomy
    wanted = anatomy.resolve(read)
    edits: dict[str, list[Edit]] = {}
    if write is not None and not isinstance(write, Mapping):
        raise UsageProblem(f"write names an edit for each site, {{site: edit}}; it is {type(write).__name__}.")
    for name, edit in (write or {}).items():
        for site in anatomy.resolve(name):
            if (reason := anatomy.read_only(site)) is not None:
                raise SiteNotAvailable(f"Site {site!r} can be read, not written: {reason}.")
            with named(site):
                edits.setdefault(site, []).extend(along(as_edits(edit), position_axis(site)))
    prove_on_use(anatomy, model, {part_of(site) for site in (*wanted, *edits)} - {"logits"})
    if not wanted and not logits:
        raise UsageProblem("Nothing to trace: no site to read and logits=False.")
    chosen = _as_positions(positions, ids.shape[1])
    values, made = trace_module(model.module, anatomy, ids, wanted, edits, chosen, logits=logits, grad=grad)
    model.meter.count(*ids.shape)
    return Trace(model.id, values, made, lambda site: anatomy.resolve(site)[0])


def has_site(model: OpenModel, site: str) -> bool:
    """Whether a site, or any that a pattern with ``*`` stands for, is available; its kind is proven if that is due."""
    if not model.anatomy.has(site):
        return False
    with suppress(SiteNotAvailable):  # one that fails its proof is withdrawn, which is what is asked next
        prove_on_use(model.anatomy, model, {part_of(site)} - {"logits"})
    return model.anatomy.has(site)


def _as_positions(positions: int | Sequence[int] | None, length: int) -> list[int] | None:
    if positions is None:
        return None
    chosen = whole_numbers(positions, UsageProblem)
    if not chosen:
        raise UsageProblem("The list of positions is empty.")
    return within(chosen, length, UsageProblem)
