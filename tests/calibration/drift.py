"""Claim 7, limits on drift: documents of O9, whose drift is known, drawn anew each time; and models of O1 that lost
some of what their base can copy.

2,000 documents are measured once; a replicate draws from them with replacement, so the truth of each quantity is that
of all 2,000.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from math import inf
from typing import Any

import numpy as np
from oracles import drift_gpt2

from interp_assert.assertions import InterpAssertionError, assert_drift_below
from interp_assert.assertions.drift.gates import gated
from interp_assert.measures import DriftScores, ResidualDrift, TextDrift, measure_drift
from interp_assert.models import Model, wrap
from interp_assert.prompts import Document
from interp_assert.stats import ErrorLevels, Measurement, Outcome

from . import induction
from .family import BOUNDARY, NULLS, POSITIVES, Family, mixed
from .rule import closest, closest_ratio_limit, closest_threshold, predicted

CLAIM = "drift"
DOCUMENTS, DRAWN = 2000, 512
LOOKS = (64, 128, 256, 512)
LISTED = 300
"""texts of an end-to-end run"""
LIMITS = ("total_variation", "agreement", "kl", "by_text", "residual", "cosine", "cka")
HIGHER = ("agreement", "cosine", "cka")
RESIDUAL = ("residual", "cosine", "cka")
MOVED = range(drift_gpt2.MOVED, drift_gpt2.N_BLOCKS + 1)
"""entries of the residual stream"""
ENDS = {"cosine": (-0.999, 0.999), "cka": (0.001, 0.999)}
"""of limits that may be asked for"""


@cache
def pair() -> tuple[Model, Model]:
    return wrap(drift_gpt2.build(2.0), id="tuned"), wrap(drift_gpt2.build(), id="base")


@cache
def pool() -> DriftScores:
    documents = [Document(f"row {i}", row) for i, row in enumerate(drift_gpt2.rows(DOCUMENTS, seed=1))]
    scores = measure_drift(*pair(), documents)
    assert scores.residual is not None
    # CKA is 1 in O9: shrink its first term by document, so that there is something to decide
    hsic = scores.residual.hsic.copy()
    hsic[..., 0] *= np.random.default_rng(5).uniform(0.6, 1.0, (DOCUMENTS, 1))
    residual = ResidualDrift(scores.residual.moved, scores.residual.size, scores.residual.cosine, hsic)
    return replace(scores, residual=residual)


def pairs(name: str, entry: int) -> tuple[np.ndarray, np.ndarray]:
    """Over all documents, a and b of the ratio of means that the limit is about."""
    scores = pool()
    residual: Any = scores.residual
    if name == "residual":
        return residual.moved[:, entry], residual.size[:, entry]
    if name == "cka":
        cross, own_x, own_y = np.moveaxis(residual.hsic[:, entry], -1, 0)
        w = np.sqrt(own_y.mean() / own_x.mean())
        return cross, (w * own_x + own_y / w) / 2
    values = residual.cosine[:, entry] if name == "cosine" else scores.kl.values
    return values, np.ones(DOCUMENTS)


@cache
def worst(name: str) -> int:
    """The entry of the residual stream that has the last word: of those that moved, for the others hold at once."""
    if name not in RESIDUAL:
        return 0
    ratios = [float(a.mean() / b.mean()) for a, b in (pairs(name, entry) for entry in MOVED)]
    return MOVED[int(np.argmin(ratios) if name in HIGHER else np.argmax(ratios))]


@cache
def limit(name: str, where: str, clusters: int = DRAWN) -> float:
    """At the truth for the boundary, else where the rule puts it."""
    null, lower = where == "null", name not in HIGHER
    if name in ("total_variation", "agreement"):
        values = getattr(pool(), name).values
        return (
            float(values.mean()) if where == "boundary" else closest_threshold(values, clusters, null=null, lower=lower)
        )
    a, b = (lost().lost.values, np.ones(DOCUMENTS)) if name == "by_text" else pairs(name, worst(name))
    if where == "boundary":
        return float(a.mean() / b.mean())
    ends = ENDS.get(name, (-inf, inf))
    if null or name not in RESIDUAL:
        return closest_ratio_limit(a, b, clusters, lower=lower, null=null, ends=ends)
    # a positive must pass at every entry that moved, and the worst on average need not be the hardest to show
    each = [closest_ratio_limit(*pairs(name, entry), clusters, lower=lower, ends=ends) for entry in MOVED]
    return max(each) if lower else min(each)


@cache
def lost() -> TextDrift:
    """Nats per character, skewed: what a few texts lose most of."""
    rng = np.random.default_rng(163)
    base = rng.gamma(8.0, 0.25, DOCUMENTS)
    names = tuple(map(str, range(DOCUMENTS)))
    return TextDrift(base + rng.normal(0.0, 0.05, DOCUMENTS) + rng.exponential(0.1, DOCUMENTS), base, 0, names, names)


def on_scores(k: int, name: str, where: str, seed: int) -> Outcome:
    [judged] = gated(
        {name: limit(name, where)},
        ErrorLevels(),
        population=None,
        no_text=None,
        no_residual=None,
        entries=drift_gpt2.N_BLOCKS + 1,
        weights="not compared",
    )
    picks = np.random.default_rng([seed, k]).integers(0, DOCUMENTS, DRAWN)
    if name == "by_text":
        names = tuple(map(str, range(DRAWN)))
        judged.take(TextDrift(lost().model[picks], lost().base[picks], 0, names, names))
        return judged.outcome
    scores, start = redrawn(picks), 0
    for look in LOOKS:
        judged.update(scores.part(start, look))
        start = look
        if judged.outcome is not Outcome.INCONCLUSIVE:
            break
    return judged.outcome


def redrawn(picks: np.ndarray) -> DriftScores:
    scores, names = pool(), tuple(map(str, range(len(picks))))

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


def outcome(model: Model, base: Model, k: int, **options: object) -> Outcome:
    try:
        return assert_drift_below(model, base, seed=k, probes=(), **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def end_to_end(k: int, name: str, where: str, twins: int) -> Outcome:
    """The whole assertion on fresh texts, twins included."""
    texts = list(dict.fromkeys(drift_gpt2.rows(LISTED, seed=100 + k)))
    return outcome(*pair(), k, texts=texts, twins=twins, **{name: limit(name, where, LISTED)})


@cache
def kept(where: str) -> int:
    """Tokens that the model must still know: a loss of less (or more) than .05, as the rule has it."""
    size = induction.pool_size()

    def scaled(tokens: int) -> np.ndarray:
        """1 - (base - model + 1) / 2, of a base that knows every token."""
        return np.asarray(1.0 - (2.0 - induction.scores(tokens)) / 2.0)

    if where == "null":
        options = range(int(0.95 * size), -1, -1)
        return closest(options, lambda t: predicted(1.0 - scaled(t), (1.0 + 0.05) / 2.0, induction.CLUSTERS))
    return closest(
        range(int(0.95 * size) + 1, size), lambda t: predicted(scaled(t), 1.0 - (1.0 + 0.05) / 2.0, induction.CLUSTERS)
    )


def claims_lost(k: int, where: str, twins: int) -> Outcome:
    base = induction.knowing(induction.pool_size())
    return outcome(induction.knowing(kept(where)), base, k, claims_lost=0.05, length=16, twins=twins)


def families() -> list[Family]:
    size = induction.pool_size()
    found: list[Family] = []
    for number, name in enumerate(LIMITS):
        sign = ">" if name in HIGHER else "<"
        truth = limit(name, "boundary")
        for where, full, sample in (
            ("null", NULLS, 12),
            ("boundary", BOUNDARY, 25),
            ("positive", POSITIVES, 3),
        ):
            run = partial(on_scores, name=name, where=where, seed=167 + number)
            at = limit(name, where)
            found.append(
                Family(
                    CLAIM,
                    f"{name} {truth:.4g}, limit {sign} {at:.4g}",
                    where,
                    "scores",
                    run,
                    f"{DRAWN} documents",
                    full,
                    sample,
                )
            )  # type: ignore[arg-type]
    nulls = {
        "total variation": partial(end_to_end, name="total_variation", where="null", twins=2),
        "residual": partial(end_to_end, name="residual", where="null", twins=2),
        "claims lost": partial(claims_lost, where="null", twins=2),
    }
    positives = {
        "total variation": partial(end_to_end, name="total_variation", where="positive", twins=5),
        "residual": partial(end_to_end, name="residual", where="positive", twins=5),
        "claims lost": partial(claims_lost, where="positive", twins=5),
    }
    told = {
        where: f"induction {kept(where) / size:.3f} of the base's, claims_lost < .05" for where in ("null", "positive")
    }
    both = "total variation and residual, texts as a list"
    return [
        *found,
        Family(
            CLAIM,
            f"{both}; {told['null']}",
            "null",
            "end to end",
            mixed(nulls),
            f"{LISTED} texts; {induction.CLUSTERS} sequences",
            NULLS,
            3,
        ),
        Family(
            CLAIM,
            f"{both}; {told['positive']}",
            "positive",
            "end to end",
            mixed(positives),
            f"{LISTED} texts; {induction.CLUSTERS} sequences",
            POSITIVES,
            3,
        ),
    ]
