"""Two Gaussian classes N(+-delta u / 2, I): what a probe of each kind scores is known in closed form (O3).

The AUROC of the right direction is Phi(delta / sqrt 2). A difference of means from n1 and n0 examples points off by
noise in d dimensions: Phi(delta_eff / sqrt 2) with delta_eff = delta^2 / sqrt(delta^2 + d (1 / n1 + 1 / n0)).
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy.stats import norm

from interp_assert.stats import Split


def best(delta: float) -> float:
    """The AUROC of the direction u itself."""
    return float(norm.cdf(delta / sqrt(2)))


def of_means(delta: float, d: int, n1: int, n0: int) -> float:
    """The AUROC of a difference of means, on average over what it is trained on."""
    return float(norm.cdf(delta**2 / sqrt(delta**2 + d * (1 / n1 + 1 / n0)) / sqrt(2)))


def build(delta: float, d: int, train: int, test: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Split]:
    """Features float32 (example, d), labels, and a split with ``train`` examples of each class, 200 to select on."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=d)
    direction /= np.linalg.norm(direction)
    sizes = (2 * train, 400, 2 * test)
    labels = np.concatenate([np.repeat([0, 1], size // 2) for size in sizes])
    features = rng.normal(size=(len(labels), d)) + delta * (labels[:, None] - 0.5) * direction
    places = np.split(np.arange(len(labels)), np.cumsum(sizes)[:-1])
    return features.astype(np.float32), labels, Split(*places)
