"""Ready-made edits for ``trace(write={site: edit})``: each is a function from the site's tensor to the tensor that
replaces it.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import BadEdit
from .positions import whole_numbers, within
from .sites import SHAPES, part_of

__all__ = ["Edit", "add", "at", "mean", "project_out", "replace", "scale", "zero"]

Edit = Callable[[torch.Tensor], torch.Tensor]


def each_alone(edit: Edit) -> Edit:
    """Note on an edit that it does the same to every position, so that a state can be shown to it step by step."""
    edit.__dict__["alone"] = True
    return edit


def all_alone(edits: Sequence[Edit]) -> bool:
    """Whether the edits are known to do the same to every position, whatever is at the others."""
    return all(getattr(edit, "alone", False) for edit in edits)


def replace(value: torch.Tensor | float) -> Edit:
    """Put ``value`` (broadcast to the site's shape) in the site's place."""

    def edit(site: torch.Tensor) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            return site.new_full(site.shape, float(value))
        new = _like(value, site)
        return new.expand_as(site) if _broadcasts(new, site) else new  # a wrong shape is reported where edits end

    return edit if isinstance(value, torch.Tensor) and value.ndim > 1 else each_alone(edit)


def add(vector: torch.Tensor | float) -> Edit:
    """Add ``vector`` (broadcast to the site's shape): steering."""

    def edit(site: torch.Tensor) -> torch.Tensor:
        if not isinstance(vector, torch.Tensor):
            return site + vector
        added = _like(vector, site)
        if not _broadcasts(added, site):
            raise BadEdit(f"what it adds has shape {tuple(added.shape)}, the site {tuple(site.shape)}")
        return site + added

    return edit if isinstance(vector, torch.Tensor) and vector.ndim > 1 else each_alone(edit)


def scale(factor: float) -> Edit:
    """Multiply the site by ``factor``."""
    return each_alone(lambda site: site * factor)


def zero() -> Edit:
    """Zero ablation."""
    return each_alone(lambda site: site.new_zeros(site.shape))


def mean(reference: torch.Tensor | None = None) -> Edit:
    """Mean ablation: ``reference`` (broadcast to the site's shape), or the mean over the batch at each position."""
    if reference is not None:
        return replace(reference)
    return each_alone(lambda site: site.mean(dim=0, keepdim=True).expand_as(site))


def project_out(direction: torch.Tensor) -> Edit:
    """Remove the component along ``direction`` (d_model,) from every vector of the site."""

    @each_alone
    def edit(site: torch.Tensor) -> torch.Tensor:
        unit = _like(direction, site)
        if unit.shape != site.shape[-1:]:
            raise BadEdit(
                f"its direction has shape {tuple(unit.shape)}; the site's vectors are {tuple(site.shape[-1:])}"
            )
        unit = unit / unit.norm()
        return site - (site @ unit).unsqueeze(-1) * unit

    return edit


@dataclass(frozen=True)
class _At:
    """An edit of some positions; the axis of positions is known when the site is."""

    positions: tuple[int, ...]
    edits: tuple[Edit, ...]
    axis: int = 1

    def __call__(self, site: torch.Tensor) -> torch.Tensor:
        where = torch.tensor(self.among(site.shape[self.axis]), device=site.device)
        part = site.index_select(self.axis, where)
        edited = part
        for edit in self.edits:
            edited = edit(edited)
        if not isinstance(edited, torch.Tensor) or edited.shape != part.shape or edited.dtype != part.dtype:
            what = (
                f"{edited.dtype} {tuple(edited.shape)}" if isinstance(edited, torch.Tensor) else type(edited).__name__
            )
            raise BadEdit(
                f"at positions {list(self.positions)} it returned {what}; it sees these positions alone and must "
                f"return {part.dtype} {tuple(part.shape)}"
            )
        return site.index_copy(self.axis, where, edited)

    def among(self, length: int) -> list[int]:
        """The positions counted from the start, of ``length`` that there are."""
        places = within(self.positions, length, BadEdit)
        if len(set(places)) < len(places):
            raise BadEdit(f"positions {list(self.positions)} name one of {length} positions twice")
        return places


def at(positions: int | Sequence[int], edit: Any) -> Edit:
    """Edit these positions only, negative ones counted from the end: ``edit``, as ``trace`` takes it, sees (batch,
    len(positions), ...), of a pattern (batch, head, len(positions), key). For a ``state`` only these steps are shown.

    Raises BadEdit for a position that the site does not have, and an edit that gives another shape.
    """
    chosen = whole_numbers(positions, BadEdit)
    if not chosen or len(set(chosen)) < len(chosen):
        raise BadEdit(f"An edit is at one position or at several different ones, not at {list(chosen)}.")
    return _At(chosen, tuple(as_edits(edit)))


def along(edits: Sequence[Edit], axis: int) -> list[Edit]:
    """The edits of a site whose positions are on ``axis``."""
    return [dataclasses.replace(edit, axis=axis) if isinstance(edit, _At) else edit for edit in edits]


def touched(site: str, edits: Sequence[Edit], length: int) -> frozenset[int] | None:
    """The positions, of ``length``, beyond which the edits leave a site alone; None where they may change any."""
    if not all(isinstance(edit, _At) for edit in edits):
        return None
    with named(site):
        return frozenset(position for edit in edits if isinstance(edit, _At) for position in edit.among(length))


@contextmanager
def named(site: str) -> Iterator[None]:
    """An edit does not know what it edits; whoever reads of its failure needs to."""
    try:
        yield
    except BadEdit as error:
        name = f"The edit of {site!r}"
        if str(error).startswith(name):
            raise
        raise BadEdit(f"{name}: {error}") from error


def _like(value: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
    if value.is_meta and not site.is_meta:
        raise BadEdit(f"its tensor {tuple(value.shape)} is on the meta device and has no values")
    if value.is_complex() and not site.is_complex():
        raise BadEdit(f"its tensor is {value.dtype}, the site {site.dtype}: say which part, .real or .abs()")
    return value.to(device=site.device, dtype=site.dtype)


def _broadcasts(value: torch.Tensor, site: torch.Tensor) -> bool:
    sizes = zip(reversed(value.shape), reversed(site.shape), strict=False)
    return value.ndim <= site.ndim and all(have in (1, want) for have, want in sizes)


def as_edits(edit: Any) -> list[Edit]:
    """What a user wrote for a site, as functions: a tensor or number replaces it, a list of functions is applied in
    order.
    """
    parts = list(edit) if isinstance(edit, list | tuple) and any(callable(part) for part in edit) else [edit]
    made: list[Edit] = []
    for part in parts:
        if callable(part) and not isinstance(part, torch.Tensor):
            made.append(part)
        elif (value := _number_or_tensor(part)) is not None:
            made.append(replace(value))
        else:
            raise BadEdit(
                f"an edit is a tensor, a number or a function of the site's tensor; {reprlib.repr(part)} is "
                f"{type(part).__name__}"
            )
    return made


def _number_or_tensor(part: Any) -> torch.Tensor | float | None:
    if isinstance(part, torch.Tensor | int | float):
        return part
    try:
        return torch.as_tensor(part) if hasattr(part, "__array__") else None
    except (TypeError, ValueError):  # an array of words
        return None


def carried_out(site: str, edits: Sequence[Edit], value: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """What the edits make of a site's ``value``, one after the other; they are given ``own``, which holds the same and
    which they may write into.

    Raises BadEdit, naming the site, for what cannot stand in its place, for values that are not finite where the site's
    were (of logits: NaN; -inf rules a token out), and for an edit that needs a gradient in a pass that records none.
    """
    edited = own
    for edit in edits:
        try:
            with named(site):
                made = edit(edited)
        except RuntimeError as error:
            if torch.is_grad_enabled() or "does not require grad" not in str(error):
                raise
            raise BadEdit(
                f"The edit of {site!r} asks for a gradient, and this pass records none: use trace(..., grad=True), or "
                "torch.enable_grad() around a computation of the edit's own."
            ) from error
        edited = _checked(site, made, value)
    _refuse_not_finite(site, edited.detach(), value.detach())
    return edited


def _refuse_not_finite(site: str, edited: torch.Tensor, before: torch.Tensor) -> None:
    bad = edited.isnan() if site == "logits" else ~edited.isfinite()
    if bool(bad.any()) and bool(before.isfinite().all()):
        nans = int(edited.isnan().sum())
        what = f"{nans} NaN" if nans else "infinite values"
        raise BadEdit(
            f"The edit of {site!r} returned {what} among {edited.numel()} values ({edited.dtype}), all of which were "
            "finite before: a division by zero, or a number too large for this format."
        )


def _checked(site: str, edited: Any, before: torch.Tensor) -> torch.Tensor:
    layout = SHAPES.get(part_of(site), "")
    if not isinstance(edited, torch.Tensor):
        raise BadEdit(
            f"The edit of {site!r} returned {type(edited).__name__}; it must return a tensor {layout} "
            f"of shape {tuple(before.shape)}."
        )
    if edited.shape != before.shape:
        raise BadEdit(
            f"The edit of {site!r} returned shape {tuple(edited.shape)}; "
            f"the site is {layout}, here {tuple(before.shape)}."
        )
    if edited.layout != before.layout:
        raise BadEdit(f"The edit of {site!r} returned a {edited.layout} tensor; the site is dense: use .to_dense().")
    if edited.dtype != before.dtype or edited.device != before.device:
        raise BadEdit(
            f"The edit of {site!r} returned {edited.dtype} on {edited.device}; "
            f"the site is {before.dtype} on {before.device}: convert with .to(site)."
        )
    return edited
