"""How often limits on drift are decided wrongly: on documents of O9 whose drift is known, drawn anew each time.

4,000 documents are measured once; a replicate draws from them with replacement, so the truth of each quantity is that
of all 4,000. Interior nulls, where the limit is clearly exceeded, must never PASS (0 of 299 bounds the rate below .01
with 95 % confidence); at the boundary a binomial test must not reject a rate of at most .01; clear positives must all
PASS (0 misses of 29 bounds the power above .9). In full by a marker, otherwise a sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from oracles import drift_gpt2
from scipy.stats import binomtest

from interp_assert import InterpAssertionError, assert_drift_below
from interp_assert.assertions.drift_limits import Gated, gated
from interp_assert.measures import DriftScores, ResidualDrift, measure_drift
from interp_assert.models import wrap
from interp_assert.prompts import Document
from interp_assert.stats import ErrorLevels, Measurement, Outcome

DOCUMENTS, DRAWN = 4000, 512
LOOKS = (64, 128, 256, 512)


@pytest.fixture(scope="module")
def pool() -> DriftScores:
    rows = drift_gpt2.rows(DOCUMENTS, seed=1)
    documents = [Document(f"row {i}", row) for i, row in enumerate(rows)]
    scores = measure_drift(wrap(drift_gpt2.build(2.0)), wrap(drift_gpt2.build()), documents)
    assert scores.residual is not None
    # CKA is 1 in O9: mix the terms of shifted documents in, so that there is something to decide
    hsic = scores.residual.hsic.copy()
    hsic[..., 0] *= np.random.default_rng(5).uniform(0.6, 1.0, (DOCUMENTS, 1))
    residual = ResidualDrift(scores.residual.moved, scores.residual.size, scores.residual.cosine, hsic)
    return replace(scores, residual=residual)


def truth(scores: DriftScores, name: str) -> float:
    """The quantity over all documents; of the residual stream that of the worst entry."""
    if name in ("total_variation", "agreement", "kl"):
        return float(getattr(scores, name).values.mean())
    assert scores.residual is not None
    if name == "residual":
        return float(scores.residual.relative.max())
    return float(scores.residual.cosine.mean(0).min() if name == "cosine" else scores.residual.cka.min())


def drawn(scores: DriftScores, seed: int) -> DriftScores:
    picks = np.random.default_rng([23, seed]).integers(0, DOCUMENTS, DRAWN)
    names = tuple(map(str, range(DRAWN)))

    def again(measured: Measurement) -> Measurement:
        return replace(measured, clusters=names, values=measured.values[picks])

    whole: Any = scores.residual
    residual = ResidualDrift(*(values[picks] for values in (whole.moved, whole.size, whole.cosine, whole.hsic)))
    return replace(
        scores,
        total_variation=again(scores.total_variation),
        kl=again(scores.kl),
        agreement=again(scores.agreement),
        residual=residual,
    )


def decide(scores: DriftScores, name: str, limit: float) -> Outcome:
    judged: Gated
    (judged,) = gated(
        {name: limit},
        ErrorLevels(),
        population=None,
        no_text=None,
        no_residual=None,
        entries=drift_gpt2.N_BLOCKS + 1,
        weights="not compared",
    )
    start = 0
    for look in LOOKS:
        judged.update(scores.part(start, look))
        start = look
        if judged.outcome is not Outcome.INCONCLUSIVE:
            break
    return judged.outcome


# by how much a limit is beyond what is true: clearly violated, clearly kept
DIALS = {
    "total_variation": (0.8, 1.35),
    "agreement": (1.15, 0.8),
    "kl": (0.7, 1.6),
    "residual": (0.85, 1.15),
    "cosine": (1.02, 0.96),
    "cka": (1.1, 0.9),
}


def calibrate(pool: DriftScores, name: str, nulls: int, boundary: int, positives: int) -> None:
    violated, kept = DIALS[name]
    true = truth(pool, name)

    def passes(first: int, count: int, dial: float) -> int:
        return sum(decide(drawn(pool, first + k), name, true * dial) is Outcome.PASS for k in range(count))

    assert passes(0, nulls, violated) == 0
    at_boundary = passes(10_000, boundary, 1.0)
    assert binomtest(at_boundary, boundary, 0.01, alternative="greater").pvalue > 0.01, at_boundary
    assert passes(20_000, positives, kept) == positives


@pytest.mark.parametrize("name", DIALS)
def test_a_sample(pool: DriftScores, name: str) -> None:
    calibrate(pool, name, nulls=30, boundary=30, positives=6)


@pytest.mark.calibration
@pytest.mark.parametrize("name", DIALS)
def test_in_full(pool: DriftScores, name: str) -> None:
    calibrate(pool, name, nulls=299, boundary=600, positives=29)


@pytest.mark.calibration
def test_end_to_end() -> None:
    """The whole assertion, twins included, on fresh texts: 30 interior nulls, 10 positives of two kinds of limits."""
    tuned, base = wrap(drift_gpt2.build(2.0), id="tuned"), wrap(drift_gpt2.build(), id="base")
    many = drift_gpt2.expected(drift_gpt2.rows(2000, seed=1), 2.0)
    true = {"total_variation": float(many.total_variation.mean()), "residual": float(many.relative.max())}
    for k in range(40):
        texts = list(dict.fromkeys(drift_gpt2.rows(300, seed=100 + k)))
        for name, value in true.items():
            violated, kept = DIALS[name]
            limit = {name: value * (violated if k < 30 else kept)}
            try:
                outcome = assert_drift_below(tuned, base, texts=texts, **limit).outcome
            except InterpAssertionError as refused:
                outcome = refused.verdict.outcome
            assert (outcome is Outcome.PASS) == (k >= 30), (name, k)
