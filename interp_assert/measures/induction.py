"""Induction: does the model continue a random sequence as it went the first time, and which heads look there.

Random tokens are said twice. A model with induction predicts each token of the second copy from the one before it
(Olsson et al. 2022). The first token of the second copy cannot be known and is not scored, so a cluster of n tokens
per copy has n - 1 scored predictions. Chance is 1 / n, the accuracy of naming any token of the context, never 1 /
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageProblem
from ..prompts import RepeatedTokens
from ..stats import Cost, Measurement
from .passes import check_context, in_passes
from .prefix import pattern_blocks, pattern_elements, prefix_scores
from .tokens import in_full, log_probability, top_hits

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = [
    "HEAD_CLUSTERS",
    "VERSION",
    "InductionScores",
    "check_fits",
    "measure_induction",
    "measure_repeated_accuracy",
]

VERSION = 1
"""of the definition; raised when the same model would get other numbers"""
HEAD_CLUSTERS = 32
"""Heads are read on the first clusters only: attention patterns cost memory, and a head's score hardly varies."""


@dataclass(frozen=True)
class InductionScores:
    """What was measured on a run of clusters; per cluster unless said otherwise.

    Attributes:
        accuracy: share of the n - 1 scored predictions of the second copy whose top token (no ties) is the target.
        shuffled: the same against the actual next token when the second part is the first copy in another order.
        unrepeated: the same when the second part is new tokens.
        p_target: mean probability of the target in the second copy.
        nll_first: mean negative log-likelihood, nats per token, of tokens 2 .. n of the first copy.
        nll_second: the same tokens in the second copy.
        nll_gain: nll_first - nll_second.
        prefix_matching: (block, head) mean attention from each token of the second copy to the token after its first
            occurrence, over the first ``head_clusters`` clusters; NaN where a block has no such head; None if the model
            shows no attention pattern.
        prefix_control: the same offset on the unrepeated rows.
        head_clusters: clusters behind the two arrays.
        chance: 1 / n.
        n: distinct tokens per copy.
        bos: the id in front of each row, or None.
        cost: of all that.
    """

    accuracy: Measurement
    shuffled: Measurement
    unrepeated: Measurement
    p_target: Measurement
    nll_first: Measurement
    nll_second: Measurement
    nll_gain: Measurement
    prefix_matching: NDArray[np.float64] | None
    prefix_control: NDArray[np.float64] | None
    head_clusters: int
    chance: float
    n: int
    bos: int | None
    cost: Cost

    def extend(self, other: InductionScores) -> InductionScores:
        """These clusters followed by those of ``other``; the head scores stay those of the first clusters."""
        joined = {name: getattr(self, name).extend(getattr(other, name)) for name in _MEASUREMENTS}
        return replace(self, **joined, cost=self.cost + other.cost)


_MEASUREMENTS = ("accuracy", "shuffled", "unrepeated", "p_target", "nll_first", "nll_second", "nll_gain")


def measure_induction(model: Model, clusters: Sequence[RepeatedTokens], *, heads: bool | int = True) -> InductionScores:
    """Measure induction on the given clusters.

    The three kinds of rows go through the model once each, with logits at the scored positions only; attention patterns
    are read in the same forward passes, on the first ``HEAD_CLUSTERS`` clusters (or the first ``heads``, if a number).

    Raises UsageProblem for no clusters or clusters of different shape, ContextTooShort if the rows do not fit,
    NonFiniteMeasurement naming the cluster whose logits are not finite.
    """
    n, offset = _one_shape(model, clusters)
    blocks = pattern_blocks(model) if heads else []
    head_clusters = min(len(clusters), HEAD_CLUSTERS if heads is True else int(heads)) if blocks else 0
    second = scored_positions(offset, n, copy=1)
    first = scored_positions(offset, n, copy=0)
    with model.metered() as span:
        repeated = _score(model, [c.repeated for c in clusters], [*first, *second], n, blocks, head_clusters)
        unrepeated = _score(model, [c.unrepeated for c in clusters], second, n, blocks, head_clusters)
        shuffled = _score(model, [c.shuffled for c in clusters], second, n, [], 0)
    names = tuple(c.id for c in clusters)
    nll = -repeated.log_p.reshape(len(clusters), 2, n - 1).mean(-1)

    def measured(
        name: str, values: NDArray[np.float64], lo: float, hi: float, unit: str, direction: Any
    ) -> Measurement:
        return Measurement(f"induction/{name}", VERSION, names, values, lo, hi, unit, direction)

    return InductionScores(
        accuracy=measured("accuracy", repeated.hits[:, n - 1 :].mean(-1), 0, 1, "share of tokens", "higher"),
        shuffled=measured("shuffled", shuffled.hits.mean(-1), 0, 1, "share of tokens", "none"),
        unrepeated=measured("unrepeated", unrepeated.hits.mean(-1), 0, 1, "share of tokens", "none"),
        p_target=measured("p_target", _probability(repeated.log_p[:, n - 1 :]), 0, 1, "probability", "higher"),
        nll_first=measured("nll_first", nll[:, 0], -inf, inf, "nats/token", "none"),
        nll_second=measured("nll_second", nll[:, 1], -inf, inf, "nats/token", "lower"),
        nll_gain=measured("nll_gain", gain(nll[:, 0], nll[:, 1]), -inf, inf, "nats/token", "higher"),
        prefix_matching=repeated.prefix,
        prefix_control=unrepeated.prefix,
        head_clusters=head_clusters,
        chance=1.0 / n,
        n=n,
        bos=clusters[0].bos,
        cost=span.cost,
    )


def measure_repeated_accuracy(
    model: Model, clusters: Sequence[RepeatedTokens], *, second: Literal["repeated", "shuffled"] = "repeated"
) -> Measurement:
    """Only the accuracy on the second copy, as it was or ``shuffled``: what a random-weight twin is compared by, and
    what a model has lost. Raises as ``measure_induction`` does.
    """
    n, offset = _one_shape(model, clusters)
    rows = [c.repeated if second == "repeated" else c.shuffled for c in clusters]
    with model.metered() as span:
        scored = _score(model, rows, scored_positions(offset, n, copy=1), n, [], 0)
    return Measurement(
        "induction/accuracy" if second == "repeated" else "induction/shuffled",
        VERSION,
        tuple(c.id for c in clusters),
        scored.hits.mean(-1),
        0,
        1,
        "share of tokens",
        "higher" if second == "repeated" else "none",
        details={"trials": n - 1},
        cost=span.cost,
    )


def scored_positions(offset: int, n: int, *, copy: int) -> list[int]:
    """Positions whose next token is scored: tokens 0 .. n-2 of a copy (0 or 1), which predict its tokens 1 .. n-1."""
    start = offset + copy * n
    return list(range(start, start + n - 1))


def check_fits(model: Model, n: int, offset: int) -> None:
    """Raise ContextTooShort, naming the largest n that would fit, if two copies do not fit in the model's context."""
    limit = model.max_positions
    fitting = 0 if limit is None else (limit - offset) // 2
    check_context(model, offset + 2 * n, f"use n <= {fitting} (n = {n} now)" if fitting >= 2 else "no n would fit")


@dataclass(frozen=True)
class _Rows:
    hits: NDArray[np.float64]
    log_p: NDArray[np.float64]
    prefix: NDArray[np.float64] | None


def _score(
    model: Model,
    rows: Sequence[Sequence[int]],
    positions: list[int],
    n: int,
    blocks: list[int],
    head_rows: int,
) -> _Rows:
    """Hits and log-probabilities (row, position), and the mean prefix-matching scores of the first ``head_rows``
    rows.
    """
    vocabulary = len(positions) * int(model.vocab_size)

    def plain(ids: torch.Tensor) -> dict[str, torch.Tensor]:
        return _judge(model.trace(ids, positions=positions).logits, ids, positions)

    def with_heads(ids: torch.Tensor) -> dict[str, torch.Tensor]:
        # the last token predicts nothing that is scored, but its attention counts
        trace = model.trace(ids, [f"blocks.{i}.attn.pattern" for i in blocks], positions=[*positions, ids.shape[1] - 1])
        judged = _judge(trace.logits[:, :-1], ids, positions)
        return judged | {"prefix": prefix_scores(trace, blocks, model.anatomy.n_blocks, n, ids.shape[1])}

    results: list[dict[str, torch.Tensor]] = []
    if head_rows:
        kept = vocabulary + pattern_elements(model, blocks, len(rows[0]), len(positions) + 1)
        results += in_passes(model, rows[:head_rows], with_heads, kept_per_row=kept)
    if len(rows) > head_rows:
        results += in_passes(model, rows[head_rows:], plain, kept_per_row=vocabulary)
    hits, log_p = (np.stack([r[key].numpy() for r in results]).astype(np.float64) for key in ("hits", "log_p"))
    hits[~np.isfinite(log_p)] = np.nan  # never let logits that are not finite pass for wrong answers
    prefix = np.stack([r["prefix"].numpy() for r in results[:head_rows]]).mean(0) if head_rows else None
    return _Rows(hits, log_p, prefix)


def _judge(logits: torch.Tensor, ids: torch.Tensor, positions: list[int]) -> dict[str, torch.Tensor]:
    targets = next_tokens(ids, positions)
    full = in_full(logits)
    return {"hits": top_hits(full, targets).cpu(), "log_p": log_probability(full, targets).double().cpu()}


def next_tokens(ids: torch.Tensor, positions: list[int]) -> torch.Tensor:
    """(row, position) the token that follows each position."""
    return ids[:, [p + 1 for p in positions]]


def gain(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the second copy owes to the first: positive if it is better predicted."""
    return first - second


def _probability(log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(np.exp(log_p), None, 1.0).mean(-1), dtype=np.float64)


def _one_shape(model: Model, clusters: Sequence[RepeatedTokens]) -> tuple[int, int]:
    if not clusters:
        raise UsageProblem("no clusters of repeated tokens were given; take at least one from a RepeatedTokenStream")
    shapes = {(c.n, c.bos) for c in clusters}
    if len(shapes) > 1:
        raise UsageProblem(
            f"clusters of different shape (n, BOS) in one measurement: {sorted(shapes, key=str)}; measure them apart"
        )
    n, offset = clusters[0].n, clusters[0].offset
    check_fits(model, n, offset)
    return n, offset
