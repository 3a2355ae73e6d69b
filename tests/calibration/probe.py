"""Claim 3, a probe's AUROC: a GPT-2 that copies a word's worth to the last position (O3), and Gaussian scores."""

from __future__ import annotations

from functools import cache, partial
from math import sqrt

import numpy as np
from measures.small import gpt2
from oracles import probe_gpt2
from scipy.stats import norm

from interp_assert.assertions import InterpAssertionError, assert_probe_auroc
from interp_assert.assertions.paired_claim import PairedClaim
from interp_assert.assertions.probe_auroc import DEFAULTS
from interp_assert.controls import bag_of_words, embedding_layer, not_worse_than_diff_of_means
from interp_assert.models import Model
from interp_assert.prompts import LabelledTexts
from interp_assert.stats import ErrorLevels, Measurement, Outcome, combine, pair_up

from .family import BOUNDARY, NULLS, POSITIVES, Family, mixed
from .rule import closest, predicted

CLAIM = "probe AUROC"
FLOOR = 0.8
GROUPS, PAIRS = 200, 50
"""of the models: half of the groups are the test part, and two of them make a pair"""
TEST_GROUPS = 256
"""of the scores: what the budget `standard` leaves for the test part, 128 pairs"""
DIALS = [round(0.02 * k, 2) for k in range(1, 400)]


def wins(auroc: float) -> np.ndarray:
    """How pairs come out, as the theory needs it: 10,000 in proportion."""
    return (np.arange(10_000) < round(10_000 * auroc)).astype(np.float64)


def over_words(auroc: float) -> np.ndarray:
    """A pair's win minus a tie of the bag of words, on [-1, 1], scaled to [0, 1]."""
    return (wins(auroc) - 0.5 + 1.0) / 2.0


@cache
def positive() -> float:
    """delta of a model that beats a bag of words, which cannot tell anything, by more than the margin."""
    scaled = (DEFAULTS.margin + 1.0) / 2.0
    return closest(DIALS, lambda delta: predicted(over_words(probe_gpt2.theory(delta)), scaled, PAIRS))


@cache
def null() -> float:
    """delta of a model whose best direction lies below the floor."""
    dials = [delta for delta in reversed(DIALS) if probe_gpt2.theory(delta) < FLOOR]
    return closest(dials, lambda delta: predicted(1.0 - wins(probe_gpt2.theory(delta)), 1.0 - FLOOR, PAIRS))


@cache
def model(delta: float, seed: int) -> Model:
    return probe_gpt2.build(delta, GROUPS, seed=seed)


TEXTS = probe_gpt2.texts(GROUPS)
IN_THE_WORDS = probe_gpt2.texts(GROUPS, ends=("up .", "down ."), name="in the words")
IN_THE_LAST_WORD = LabelledTexts(
    "in the last word",
    tuple(f"b0 {letter}{i}" for i in range(1, GROUPS) for letter in "ab"),
    (1, 0) * (GROUPS - 1),
    tuple(f"g{i}" for i in range(1, GROUPS) for _ in "ab"),
)
IN_THE_ORDER = LabelledTexts(
    "in the order of two frequent words",
    tuple(f"a{i} {order}" for i in range(GROUPS) for order in ("! up .", "up ! .")),
    (0, 1) * GROUPS,
    tuple(f"g{i}" for i in range(GROUPS) for _ in range(2)),
)


def random_network(seed: int) -> Model:
    known = probe_gpt2.tokenizer(GROUPS)
    return gpt2(seed, tokenizer=known, vocab_size=len(known), bos_token_id=1, eos_token_id=2, n_embd=64)


def outcome(subject: Model, texts: LabelledTexts, k: int, **options: object) -> Outcome:
    try:
        return assert_probe_auroc(subject, texts, seed=k, **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def on_scores(
    k: int,
    auroc: float,
    *,
    floor: float | None,
    words: float = 0.5,
    embedding: float = 0.5,
    means: float | None = None,
    seed: int = 67,
) -> Outcome:
    """Gaussian scores of two examples per group with these AUROCs, through the gates of the assertion."""
    rng = np.random.default_rng([seed, k])
    labels = np.tile([0, 1], TEST_GROUPS)
    groups = [str(i // 2) for i in range(2 * TEST_GROUPS)]
    probe, bag, below = (gaussian(rng, labels, area) for area in (auroc, words, embedding))
    levels, pairs = ErrorLevels(), pair_up(labels, groups, k)
    claim, other = (
        PairedClaim(bag_of_words(DEFAULTS.margin, levels), floor, levels),
        embedding_layer(DEFAULTS.margin, levels),
    )
    own = won(pairs.ids, pairs.wins(probe))
    claim.update(own, won(pairs.ids, pairs.wins(bag)))
    other.update(own, won(pairs.ids, pairs.wins(below)))
    controls = [claim.control_result(), other.result()]
    if means is not None:
        baseline = gaussian(rng, labels, means)
        controls.append(not_worse_than_diff_of_means(probe, baseline, labels, groups, level=levels.control))
    return combine(claim.gate.outcome, controls)


def gaussian(rng: np.random.Generator, labels: np.ndarray, auroc: float) -> np.ndarray:
    return np.asarray(rng.normal(size=labels.size) + sqrt(2) * float(norm.ppf(auroc)) * labels)


def won(ids: tuple[str, ...], values: np.ndarray) -> Measurement:
    return Measurement("won", 1, ids, values, 0, 1, "share of pairs", "higher")


def families() -> list[Family]:
    low, high = null(), positive()
    pairs = TEST_GROUPS // 2
    below = closest(
        [FLOOR - 0.01 * step for step in range(1, 60)], lambda a: predicted(1.0 - wins(a), 1.0 - FLOOR, pairs)
    )
    nulls = {
        "nothing to read": lambda k: outcome(model(0.0, k % 3), TEXTS, k, twins=2),
        "in the words": lambda k: outcome(model(6.0, k % 3), IN_THE_WORDS, k, twins=2),
        "in the last word": lambda k: outcome(model(6.0, k % 3), IN_THE_LAST_WORD, k, twins=2),
        "random network": lambda k: outcome(random_network(k), IN_THE_ORDER, k),
        "below the floor": lambda k: outcome(model(low, k % 3), TEXTS, k, floor=FLOOR, twins=2),
    }
    scored = {
        "below the floor": partial(on_scores, auroc=below, floor=FLOOR),
        "nothing to read": partial(on_scores, auroc=0.5, floor=None),
        "in the words": partial(on_scores, auroc=0.99, floor=FLOOR, words=0.99),
        "in the last word": partial(on_scores, auroc=0.99, floor=FLOOR, embedding=0.99),
        "worse than a difference of means": partial(on_scores, auroc=0.9, floor=0.5, means=0.97),
    }
    return [
        Family(
            CLAIM,
            f"AUROC {probe_gpt2.theory(low):.2f} against a floor of {FLOOR}; noise; label in the words (AUROC 1); in "
            "the last word; word order in random networks",
            "null",
            "end to end",
            mixed(nulls),
            f"{PAIRS} pairs",
            NULLS,
            5,
        ),
        Family(
            CLAIM,
            f"AUROC {below:.2f} against {FLOOR}; .5; .99 as words; .99 as the embedding; .90 beside .97 of means",
            "null",
            "scores",
            mixed(scored),
            f"{pairs} pairs",
            NULLS,
            30,
        ),
        Family(
            CLAIM,
            f"AUROC at the floor of {FLOOR}",
            "boundary",
            "scores",
            partial(on_scores, auroc=FLOOR, floor=FLOOR, seed=71),
            f"{pairs} pairs",
            BOUNDARY,
            60,
        ),
        Family(
            CLAIM,
            "AUROC above that of words by the margin",
            "boundary",
            "scores",
            partial(on_scores, auroc=0.6 + DEFAULTS.margin, floor=None, words=0.6, seed=73),
            f"{pairs} pairs",
            BOUNDARY,
            60,
        ),
        Family(
            CLAIM,
            f"AUROC {probe_gpt2.theory(high):.2f} against words at chance, {PAIRS} pairs",
            "positive",
            "end to end",
            lambda k: outcome(model(high, k % 3), TEXTS, k),
            f"{PAIRS} pairs",
            POSITIVES,
            1,
        ),
    ]
