"""Bag of words: what a sum of evidence over words and tokens scores, without any model (METHODS 1.4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..measures.probes import ProbeProblem, ProbeScores
from ..stats import ErrorLevels, Split
from .paired import PairedControl

__all__ = ["MOST_WORDS", "WITH_LENGTHS", "WITH_PAIRS", "WORDS", "bag_of_words", "count_words", "fit_words"]

MOST_WORDS = 4096
"""words and tokens that are counted, the most frequent ones"""

WORDS, WITH_LENGTHS, WITH_PAIRS = "words", "words with lengths and ends", "words with their pairs"
"""what ``fit_words`` looks at; the last is told and never held against a probe"""

_WORD = re.compile(r"\w+|[^\w\s]")

Texts = Sequence[str]
Rows = Sequence[Sequence[int]]


def bag_of_words(margin: float, levels: ErrorLevels) -> PairedControl:
    """The probe tells pairs apart by more than the margin better than a probe on counts of words does."""
    return PairedControl(
        "bag_of_words",
        margin,
        levels,
        note="AUROC of the probe - AUROC of logistic regression on counts of words and tokens (and on lengths and the "
        "last word, where they tell more), on the same pairs",
    )


def fit_words(
    texts: Texts, rows: Rows, labels: NDArray[np.int64], split: Split, *, margin: float, pairs: bool = False
) -> ProbeScores:
    """Logistic regression on what a text shows without any model: its ``sites`` are ``WORDS``, ``WITH_LENGTHS`` and,
    with ``pairs``, ``WITH_PAIRS``.

    ``best`` is the bag of words, or the one that knows lengths and last words too if that is better on the select part
    by more than ``margin``: lengths that tell nothing would put chance into what is a tie. Which words are neighbours
    is order, no bag of words tells it, and so the pairs are never ``best``.
    """
    counts = count_words(texts, rows, split)
    features = {WORDS: counts, WITH_LENGTHS: np.concatenate([counts, _lengths(texts, rows, split)], axis=1)}
    if pairs:
        features[WITH_PAIRS] = np.concatenate([counts, _count_pairs(texts, rows, split)], axis=1)
    fitted = ProbeProblem(features, split, standardise=False).fit(labels)
    return replace(fitted, best=int(fitted.select[1] > fitted.select[0] + margin))


def count_words(texts: Texts, rows: Rows, split: Split, most: int = MOST_WORDS) -> NDArray[np.float32]:
    """(text, feature) how often each word (in lower case) and each of the model's tokens occurs.

    Only what occurs in two training texts at least: of anything else nothing can be learned. Words and tokens, because
    a model's tokens may be letters, and words may hide what its tokens show.
    """
    bags = [(_words(text), row) for text, row in zip(texts, rows, strict=True)]
    return _counted(([*_named("word", said), *_named("token", row)] for said, row in bags), split, most)


def _count_pairs(texts: Texts, rows: Rows, split: Split) -> NDArray[np.float32]:
    """(text, feature) how often each two neighbouring words and tokens occur."""
    bags = [(_words(text), row) for text, row in zip(texts, rows, strict=True)]
    both = ([*_named("words", _neighbours(said)), *_named("tokens", _neighbours(row))] for said, row in bags)
    return _counted(both, split, MOST_WORDS)


def _lengths(texts: Texts, rows: Rows, split: Split) -> NDArray[np.float32]:
    """(text, feature) numbers of words, tokens, letters and capitals, in deviations of the training part; and one-hot
    what is read: the number of tokens, which is its place, the last mark or word, and the last word.
    """
    sizes = np.array(
        [
            (len(_words(text)), len(row), len(text), sum(letter.isupper() for letter in text))
            for text, row in zip(texts, rows, strict=True)
        ],
        dtype=np.float64,
    )
    known = sizes[split.train]
    deviation = known.std(0)
    scaled = np.where(deviation > 0.0, (sizes - known.mean(0)) / np.where(deviation > 0.0, deviation, 1.0), 0.0)
    said = [_words(text) for text in texts]
    ends = [(("mark", words[-1:]), ("word", [word for word in words if word[-1].isalnum()][-1:])) for words in said]
    read = ((("tokens", len(row)), *((kind, *last) for kind, last in end)) for row, end in zip(rows, ends, strict=True))
    each = _counted(read, split, MOST_WORDS)
    return np.concatenate([scaled.astype(np.float32), each], axis=1)


def _counted(bags: Iterable[Iterable[Hashable]], split: Split, most: int) -> NDArray[np.float32]:
    """(text, feature) how often each key is in a bag, of those that are in two training bags at least."""
    counted = [Counter(bag) for bag in bags]
    seen: Counter[Hashable] = Counter()
    for place in split.train.tolist():
        seen.update(counted[place].keys())
    common = sorted((key for key, count in seen.items() if count >= 2), key=lambda key: (-seen[key], str(key)))[:most]
    column = {key: number for number, key in enumerate(common)}
    counts = np.zeros((len(counted), max(1, len(column))), dtype=np.float32)
    for row_number, bag in enumerate(counted):
        for key, count in bag.items():
            if key in column:
                counts[row_number, column[key]] = count
    return counts


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _named(kind: str, keys: Iterable[Hashable]) -> list[Hashable]:
    return [(kind, key) for key in keys]


def _neighbours(keys: Sequence[Hashable]) -> list[Hashable]:
    return list(pairwise(keys))
