"""Steering: what the model says when a direction is added to its residual stream (METHODS: dose-response).

The direction is the difference of the class means of the activations at the last position of labelled texts (Rimsky et
al. 2024; Marks & Tegmark 2024). A dose alpha adds alpha times that difference, which leads from the mean of the one
class to that of the other at alpha = 1, at every position of the prompt; what is read is the difference of two logits
at the last position. The slope of that difference over alpha is a prompt's dose-response; where it is negative the
prompt is anti-steerable (Tan et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..stats import Cost
from .activations import read_last
from .passes import check_context, in_passes
from .tokens import in_full, log_probability

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = [
    "ALPHAS",
    "VERSION",
    "DoseResponse",
    "NoDirection",
    "class_difference",
    "dose_response",
    "dose_responses",
    "doses_of",
    "nll_under_steering",
    "slopes_over",
    "steering_site",
]

VERSION = 1
"""of the definition; raised when the same model would get other numbers"""
ALPHAS = (-2.0, -1.0, 0.0, 1.0, 2.0)

Floats = NDArray[np.float64]


class NoDirection(UsageProblem):
    """Both classes have the same mean activation."""


@dataclass(frozen=True, eq=False)
class DoseResponse:
    """What one direction does to each prompt.

    Attributes:
        alphas: doses, ascending.
        metric: float64 (prompt, alpha), the target's logit minus the other's at the last position.
        slopes: float64 (prompt,), logits per unit of alpha, by least squares.
        cost: of all that.
    """

    alphas: tuple[float, ...]
    metric: Floats
    slopes: Floats
    cost: Cost


def steering_site(model: Model, layer: int) -> str:
    """The stream that has passed ``layer`` blocks (1 .. all of them)."""
    n_blocks = int(model.anatomy.n_blocks)
    if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)) or not 1 <= layer <= n_blocks:
        raise UsageProblem(f"layer={layer!r} must be a whole number from 1 to {n_blocks}, the blocks of this model")
    return f"blocks.{int(layer) - 1}.resid_post"


def class_difference(
    model: Model, rows: Sequence[Sequence[int]], labels: ArrayLike, sites: Sequence[str]
) -> dict[str, Floats]:
    """{site: mean of class 1 - mean of class 0}, float64 (width,), at the last position of each row.

    Raises UsageProblem if a class has no row, NoDirection if the means are the same.
    """
    marks = np.asarray(labels)
    if len(marks) != len(rows) or not {0, 1} <= set(marks.tolist()):
        raise UsageProblem(f"{len(rows)} rows with labels {sorted(set(marks.tolist()))}: both classes, 0 and 1, needed")
    read = read_last(model, rows, sites)
    found = {}
    for site, values in read.items():
        found[site] = difference = mean_difference(values, marks)
        if not difference.any():
            raise NoDirection(f"{model.id}: both classes have the same mean at {site}, so there is no direction there")
    return found


def mean_difference(values: NDArray[np.float32], marks: NDArray[np.int64]) -> Floats:
    """Mean of the rows of class 1 minus mean of those of class 0: (row, width) -> (width,)."""
    high, low = values[marks == 1], values[marks == 0]
    return np.asarray(high.mean(0, dtype=np.float64) - low.mean(0, dtype=np.float64))


def dose_response(
    model: Model,
    rows: Sequence[Sequence[int]],
    site: str,
    direction: ArrayLike,
    target: tuple[int, int],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> DoseResponse:
    """Add each dose of ``direction`` (width,) to ``site`` at every position of each row, and read logit(target[0]) -
    logit(target[1]) at the last one.

    At alpha = 0 nothing is changed. Raises UsageProblem for fewer than two doses, ContextTooShort, SiteNotAvailable,
    NonFiniteMeasurement naming the dose and the row.
    """
    [response] = dose_responses(model, rows, site, _vector(direction)[None], target, alphas=alphas)
    return response


def dose_responses(
    model: Model,
    rows: Sequence[Sequence[int]],
    site: str,
    directions: ArrayLike,
    target: tuple[int, int],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> list[DoseResponse]:
    """The same for several directions (direction, width): rows with different directions and doses go through the
    model together, so a short list costs few passes. The cost of all is that of the first.
    """
    import torch

    from ..models.edits import add

    doses = doses_of(alphas)
    if len(rows) == 0:
        raise UsageProblem("no prompts to steer; give at least one")
    check_context(model, max(len(row) for row in rows), "use shorter prompts")
    vectors = torch.as_tensor(np.asarray(directions, dtype=np.float64))
    strengths = torch.tensor(doses, dtype=torch.float64)
    # Each row carries the places of its direction and dose behind its ids; without a dose the direction is no matter.
    work = [
        (place, which, dose)
        for place in range(len(rows))
        for dose, alpha in enumerate(doses)
        for which in range(1 if alpha == 0.0 else len(vectors))
    ]

    def run(batch: torch.Tensor) -> torch.Tensor:
        which, dose = batch[:, -2].cpu(), batch[:, -1].cpu()
        added = (strengths[dose, None] * vectors[which]).to(batch.device, torch.float32)
        trace = model.trace(batch[:, :-2], write={site: add(added[:, None, :])}, positions=[-1])
        picked = in_full(trace.logits[:, -1])[:, list(target)].double()
        return (picked[:, 0] - picked[:, 1]).cpu()

    with model.metered() as span:
        carried = [(*rows[place], which, dose) for place, which, dose in work]
        read = in_passes(model, carried, run, kept_per_row=2 * int(model.vocab_size))
    metric = np.full((len(vectors), len(rows), len(doses)), np.nan)
    for (place, which, dose), value in zip(work, read, strict=True):
        metric[slice(None) if doses[dose] == 0.0 else which, place, dose] = float(value)
    _check_finite(model, metric, doses)
    return [
        DoseResponse(doses, each, slopes_over(doses, each), Cost() if number else span.cost)
        for number, each in enumerate(metric)
    ]


def doses_of(alphas: Sequence[float]) -> tuple[float, ...]:
    """The doses in ascending order, each once. Raises UsageProblem unless there are two finite ones."""
    try:
        doses = tuple(sorted({float(alpha) for alpha in alphas}))
    except (TypeError, ValueError):
        raise UsageProblem(f"alphas={alphas!r} must be a list of numbers") from None
    if len(doses) < 2 or not np.isfinite(doses).all():
        raise UsageProblem(f"alphas={alphas!r} must hold two different finite doses at least")
    return doses


def _check_finite(model: Model, metric: Floats, doses: Sequence[float]) -> None:
    bad = np.argwhere(~np.isfinite(metric))
    if len(bad):
        _, row, dose = (int(i) for i in bad[0])
        raise NonFiniteMeasurement(
            f"{model.id}: the logits are not finite at alpha = {doses[dose]:g} on row {row} ({len(bad)} of "
            f"{metric.size} readings); use smaller alphas, or try --interp-dtype float32"
        )


def slopes_over(alphas: Sequence[float], metric: Floats) -> Floats:
    """The least-squares slope of each row of ``metric`` (prompt, alpha): (prompt,)."""
    centred = np.asarray(alphas, dtype=np.float64) - np.mean(alphas)
    return np.asarray(metric @ centred / (centred @ centred))


def nll_under_steering(
    model: Model, documents: Sequence[Sequence[int]], site: str, direction: ArrayLike, alphas: Sequence[float]
) -> Floats:
    """float64 (document, alpha): mean negative log-likelihood in nats per token, of all tokens but the first, with each
    dose of ``direction`` added at every position.

    Raises UsageProblem for a document of fewer than two tokens, NonFiniteMeasurement naming the document.
    """
    import torch

    from ..models.edits import add

    if not documents or min(len(document) for document in documents) < 2:
        raise UsageProblem("a document needs two tokens at least to have a likelihood; leave shorter ones out")
    check_context(model, max(len(document) for document in documents), "use shorter documents")
    vector = torch.as_tensor(_vector(direction))

    def run(batch: torch.Tensor) -> torch.Tensor:
        columns = []
        for alpha in alphas:
            write = {} if alpha == 0.0 else {site: add((alpha * vector).to(batch.device, torch.float32))}
            logits = in_full(model.trace(batch, write=write).logits[:, :-1])
            columns.append(-log_probability(logits, batch[:, 1:].to(logits.device)).double().mean(1))
        return torch.stack(columns, 1).cpu()

    longest = max(len(document) for document in documents)
    results = in_passes(model, documents, run, kept_per_row=2 * longest * int(model.vocab_size))
    nll = np.stack([result.numpy() for result in results]).astype(np.float64)
    bad = np.argwhere(~np.isfinite(nll))
    if len(bad):
        row, dose = (int(i) for i in bad[0])
        raise NonFiniteMeasurement(
            f"{model.id}: the likelihood of document {row} at alpha = {alphas[dose]:g} is {nll[row, dose]}"
        )
    return nll


def _vector(direction: ArrayLike) -> Floats:
    values = np.asarray(direction, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise UsageProblem(
            f"a direction is one finite vector, not {values.shape} with {values[~np.isfinite(values)][:1]}"
        )
    return values
