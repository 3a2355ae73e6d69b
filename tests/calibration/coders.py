"""Claim 4, variance explained: a GPT-2 with planted atoms, random networks, and documents drawn as scores."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from measures.small import gpt2
from oracles import planted_gpt2
from scipy.stats import norm

from interp_assert.assertions import InterpAssertionError, assert_sae_variance_explained
from interp_assert.assertions.variance_explained import DEFAULTS
from interp_assert.coders import recipe_for
from interp_assert.controls import TwinScore, frozen_decoder_control, pca_control, random_weights
from interp_assert.models import Model
from interp_assert.stats import ControlResult, ErrorLevels, Outcome, SequentialGate, combine

from .family import BOUNDARY, NULLS, POSITIVES, TRAINED, Family, mixed
from .rule import closest, predicted
from .weights import model as tiny

CLAIM = "variance explained"
DOCUMENTS = 512
TAU = 0.9
LENGTH = 16


def end_to_end(subject: Model, k: int, *, twins: int = 5, **options: object) -> Outcome:
    """A coder of two dozen atoms, one of which is active, trained for a fraction of a second; and its controls."""
    width = int(subject.anatomy.d_model)
    recipe = recipe_for(width, d_sae=2 * planted_gpt2.ATOMS, k=1, steps=120, batch=128, tokens=2048, seed=k)
    ids = np.random.default_rng([113, k]).integers(1, int(subject.vocab_size), (300, LENGTH)).tolist()
    try:
        return assert_sae_variance_explained(
            subject,
            recipe=recipe,
            documents=ids,
            length=LENGTH,
            site="blocks.1.resid_post",
            seed=k,
            twins=twins,
            **options,  # type: ignore[arg-type]
        ).outcome
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def unexplained(rng: np.random.Generator, share: float, count: int = DOCUMENTS) -> np.ndarray:
    """By document, skewed; a ``share`` of documents has a VE of ``TAU`` or more."""
    middle = np.log(1.0 - TAU) - 0.5 * norm.ppf(share)
    return np.asarray(np.exp(middle + 0.5 * rng.normal(size=count)))


def on_scores(k: int, share: float, *, pca: float = 1.0, frozen: float = 1.0, seed: int) -> Outcome:
    """``pca`` and ``frozen``: the share of documents that the coder explains better by the margin than each."""
    rng = np.random.default_rng([seed, k])
    levels, rest = ErrorLevels(), (DEFAULTS.margin, DEFAULTS.pi, ErrorLevels())
    explained = 1.0 - unexplained(rng, share)
    gate = SequentialGate(DEFAULTS.pi, levels=levels)
    gate.update((explained >= TAU).astype(np.float64))
    controls: list[ControlResult] = []
    for control, ahead in ((pca_control(8, *rest), pca), (frozen_decoder_control(*rest), frozen)):
        better = rng.random(DOCUMENTS) < ahead
        control.update(explained, 1.0 - (1.0 - explained) * np.where(better, 1.5, 1.0))
        controls.append(control.result(0.5))
    return combine(gate.outcome, controls)


def like_its_twins(k: int) -> Outcome:
    """The coder of one more twin: the comparison of the claim, with documents drawn for each."""
    rng = np.random.default_rng([127, k])

    def score(subject: Model) -> TwinScore:
        left = unexplained(rng, 0.5, DEFAULTS.twin_documents) * np.exp(rng.normal(0.0, 0.02))
        return TwinScore.variance_explained(left, np.ones(left.size))

    return random_weights(tiny(), score(tiny()), score, n=5, seed=k, level=0.01).outcome


def documents(share: float) -> np.ndarray:
    return (np.arange(10_000) < round(10_000 * share)).astype(np.float64)


@cache
def positive() -> float:
    shares = [round(0.5 + 0.005 * k, 3) for k in range(1, 101)]
    return closest(shares, lambda share: predicted(documents(share), DEFAULTS.pi, DOCUMENTS))


def families() -> list[Family]:
    high = positive()
    low = round(2 * DEFAULTS.pi - high, 3)
    nulls = {
        "random": lambda k: end_to_end(gpt2(k), k),
        "random, a floor that it reaches": lambda k: end_to_end(gpt2(k), k, floor=0.05),
    }
    scored = {
        "too few documents": partial(on_scores, share=low, seed=131),
        "no better than PCA": partial(on_scores, share=0.95, pca=low, seed=137),
        "no better than frozen atoms": partial(on_scores, share=0.95, frozen=low, seed=139),
        "like its twins": like_its_twins,
    }
    return [
        Family(
            CLAIM,
            "random networks, with a floor that they reach and without",
            "null",
            "end to end",
            mixed(nulls),
            "300 texts",
            TRAINED,
            2,
        ),
        Family(
            CLAIM,
            f"{low:g} of documents at VE >= tau against {DEFAULTS.pi}; better than PCA or than frozen atoms on {low:g} "
            "of them; like its twins",
            "null",
            "scores",
            mixed(scored),
            f"{DOCUMENTS} documents",
            NULLS - TRAINED,
            32,
        ),
        Family(
            CLAIM,
            f"{DEFAULTS.pi} of documents at VE >= tau",
            "boundary",
            "scores",
            partial(on_scores, share=DEFAULTS.pi, seed=149),
            f"{DOCUMENTS} documents",
            BOUNDARY,
            60,
        ),
        Family(
            CLAIM,
            f"better than PCA on {DEFAULTS.pi} of documents",
            "boundary",
            "scores",
            partial(on_scores, share=0.95, pca=DEFAULTS.pi, seed=151),
            f"{DOCUMENTS} documents",
            BOUNDARY,
            60,
            fail_is_wrong=False,
        ),
        Family(
            CLAIM,
            f"{high:g} of documents at VE >= tau",
            "positive",
            "scores",
            partial(on_scores, share=high, pca=high, frozen=high, seed=157),
            f"{DOCUMENTS} documents",
            POSITIVES,
            10,
        ),
        Family(
            CLAIM,
            "planted atoms, without noise",
            "positive",
            "end to end",
            lambda k: end_to_end(planted_gpt2.build(seed=k % 3), k),
            "300 texts",
            POSITIVES,
            1,
        ),
    ]
