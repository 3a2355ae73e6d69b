"""Bag of words: what a sum of evidence over words and tokens scores, without any model (METHODS 1.4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..stats import ErrorLevels, Split
from .paired import PairedControl

__all__ = ["MOST_WORDS", "bag_of_words", "count_words"]

MOST_WORDS = 4096
"""words and tokens that are counted, the most frequent ones"""

_WORD = re.compile(r"\w+|[^\w\s]")


def bag_of_words(margin: float, levels: ErrorLevels) -> PairedControl:
    """The probe tells pairs apart by more than the margin better than a probe on counts of words does."""
    return PairedControl(
        "bag_of_words",
        margin,
        levels,
        note="AUROC of the probe - AUROC of logistic regression on counts of words and tokens, on the same pairs",
    )


def count_words(
    texts: Sequence[str], rows: Sequence[Sequence[int]], split: Split, most: int = MOST_WORDS
) -> NDArray[np.float32]:
    """(text, feature) how often each word (in lower case) and each of the model's tokens occurs.

    Only what occurs in two training texts at least: of anything else nothing can be learned. Words and tokens, because
    a model's tokens may be letters, and words may hide what its tokens show.
    """
    bags = [
        Counter([*(("word", word) for word in _WORD.findall(text.lower())), *(("token", int(i)) for i in row)])
        for text, row in zip(texts, rows, strict=True)
    ]
    seen: Counter[tuple[str, object]] = Counter()
    for place in split.train.tolist():
        seen.update(bags[place].keys())
    common = sorted((key for key, count in seen.items() if count >= 2), key=lambda key: (-seen[key], str(key)))[:most]
    column = {key: number for number, key in enumerate(common)}
    counts = np.zeros((len(bags), max(1, len(column))), dtype=np.float32)
    for row_number, bag in enumerate(bags):
        for key, count in bag.items():
            if key in column:
                counts[row_number, column[key]] = count
    return counts
