"""Ready-made edits for ``trace(write={site: edit})``: each is a function from the site's tensor to the tensor that
replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import BadEdit
from .sites import SHAPES, part_of

__all__ = ["Edit", "add", "mean", "project_out", "replace", "scale", "zero"]

Edit = Callable[[torch.Tensor], torch.Tensor]


def replace(value: torch.Tensor | float) -> Edit:
    """Put ``value`` (broadcast to the site's shape) in the site's place."""

    def edit(site: torch.Tensor) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            return site.new_full(site.shape, float(value))
        new = _like(value, site)
        fits = new.ndim <= site.ndim and all(
            have in (1, want) for have, want in zip(reversed(new.shape), reversed(site.shape), strict=False)
        )
        return (
            new.expand_as(site) if fits else new
        )  # a wrong shape is reported by the tracer, which knows the site's name

    return edit


def add(vector: torch.Tensor | float) -> Edit:
    """Add ``vector`` (broadcast to the site's shape): steering."""
    return lambda site: site + (_like(vector, site) if isinstance(vector, torch.Tensor) else vector)


def scale(factor: float) -> Edit:
    """Multiply the site by ``factor``."""
    return lambda site: site * factor


def zero() -> Edit:
    """Zero ablation."""
    return lambda site: site.new_zeros(site.shape)


def mean(reference: torch.Tensor | None = None) -> Edit:
    """Mean ablation: ``reference`` (broadcast to the site's shape), or the mean over the batch at each position."""
    if reference is not None:
        return replace(reference)
    return lambda site: site.mean(dim=0, keepdim=True).expand_as(site)


def project_out(direction: torch.Tensor) -> Edit:
    """Remove the component along ``direction`` (d_model,) from every vector of the site."""

    def edit(site: torch.Tensor) -> torch.Tensor:
        unit = _like(direction, site)
        unit = unit / unit.norm()
        return site - (site @ unit).unsqueeze(-1) * unit

    return edit


def _like(value: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
    return value.to(device=site.device, dtype=site.dtype)


def as_edits(edit: Any) -> list[Edit]:
    """What a user wrote for a site, as functions: a tensor or number replaces it, a list of functions is applied in
    order.
    """
    parts = list(edit) if isinstance(edit, list | tuple) and any(callable(part) for part in edit) else [edit]
    made: list[Edit] = []
    for part in parts:
        if callable(part) and not isinstance(part, torch.Tensor):
            made.append(part)
        elif isinstance(part, torch.Tensor | int | float) or hasattr(part, "__array__"):
            made.append(replace(part if isinstance(part, torch.Tensor | int | float) else torch.as_tensor(part)))
        else:
            raise BadEdit(
                f"An edit is a tensor, a number or a function of the site's tensor; {part!r} is {type(part).__name__}."
            )
    return made


def checked(site: str, edited: Any, before: torch.Tensor) -> torch.Tensor:
    """The edited tensor, if it can stand in the site's place; else BadEdit naming the site and what would be right."""
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
    if edited.dtype != before.dtype or edited.device != before.device:
        raise BadEdit(
            f"The edit of {site!r} returned {edited.dtype} on {edited.device}; "
            f"the site is {before.dtype} on {before.device}: convert with .to(site)."
        )
    return edited
