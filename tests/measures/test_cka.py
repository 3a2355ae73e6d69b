"""Debiased linear CKA: its published definition, what it is blind to, and where the biased one goes wrong."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_assert.measures import debiased_linear_cka
from interp_assert.measures.cka import hsic, pooled_cka


def gaussian(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def u_statistic(k: np.ndarray, other: np.ndarray) -> float:
    """Song et al. 2012, equation 4: HSIC_1 as a U-statistic, the average over quadruples of distinct positions."""
    n = len(k)
    quadruples = [
        k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in permutations(range(n), 4)
    ]  # h(i, j, q, r) up to symmetry
    return float(np.mean(quadruples))


def test_hsic_is_the_u_statistic_of_its_definition() -> None:
    x, y = gaussian(7, 3, 0), gaussian(7, 5, 1)
    found = hsic(x[None], y[None], torch.ones(1, 7, dtype=torch.bool))[0]
    k, other = (np.asarray(v @ v.T) for v in (x, y))
    assert found.numpy() == pytest.approx(
        [u_statistic(k, other), u_statistic(k, k), u_statistic(other, other)], rel=1e-9
    )


def test_positions_that_do_not_count_are_as_if_they_were_not_there() -> None:
    x, y = gaussian(9, 3, 0), gaussian(9, 3, 1)
    keep = torch.tensor([False, True, True, True, False, True, True, True, True])
    without = hsic(x[keep][None], y[keep][None], torch.ones(1, 7, dtype=torch.bool))
    assert torch.allclose(hsic(x[None], y[None], keep[None]), without, rtol=1e-12)


def test_fewer_than_four_positions_give_nothing() -> None:
    x = gaussian(5, 3, 0)[None]
    keep = torch.tensor([[True, True, True, False, False]])
    assert hsic(x, x, keep).tolist() == [[0.0, 0.0, 0.0]]


def biased(x: torch.Tensor, y: torch.Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    norms = [torch.linalg.norm(a.T @ b) ** 2 for a, b in ((x, y), (x, x), (y, y))]
    return float(norms[0] / (norms[1] * norms[2]).sqrt())


@pytest.mark.parametrize(("n", "published"), [(32, 0.889), (128, 0.671), (1024, 0.203)])
def test_unrelated_gaussians(n: int, published: float) -> None:
    """At 256 dimensions the biased estimate is far from 0, the debiased one is 0 on average."""
    pairs = [(gaussian(n, 256, 2 * seed), gaussian(n, 256, 2 * seed + 1)) for seed in range(6)]
    assert np.mean([biased(*pair) for pair in pairs]) == pytest.approx(published, abs=0.01)
    assert np.mean([debiased_linear_cka(*pair) for pair in pairs]) == pytest.approx(0.0, abs=0.03)


def test_one_shared_huge_activation_makes_nothing_alike() -> None:
    found = []
    for seed in range(20):
        x, y = gaussian(64, 32, 2 * seed), gaussian(64, 32, 2 * seed + 1)
        x[0, 0] = y[0, 0] = 3000.0
        assert biased(x, y) > 0.99
        found.append(debiased_linear_cka(x, y))
    assert abs(np.mean(found)) < 0.15


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 30), d=st.integers(2, 12), scale=st.floats(1e-3, 1e3))
def test_blind_to_rotation_scale_and_translation(seed: int, n: int, d: int, scale: float) -> None:
    x, y = gaussian(n, d, seed), gaussian(n, d + 1, seed + 1)
    y[:, :d] += x
    rotation = torch.linalg.qr(gaussian(d, d, seed + 2)).Q
    moved = scale * (x @ rotation) + gaussian(1, d, seed + 3)
    assert debiased_linear_cka(moved, y) == pytest.approx(debiased_linear_cka(x, y), rel=1e-6, abs=1e-8)
    assert debiased_linear_cka(y, x) == pytest.approx(debiased_linear_cka(x, y), rel=1e-9)
    assert debiased_linear_cka(x, x) == 1.0


def test_rows_are_averaged_before_the_ratio_is_taken() -> None:
    terms = np.array([[1.0, 1.0, 4.0], [3.0, 9.0, 4.0]])
    assert float(pooled_cka(terms)) == pytest.approx(2.0 / np.sqrt(5.0 * 4.0))


def test_what_does_not_vary_has_no_cka() -> None:
    assert np.isnan(debiased_linear_cka(torch.ones(6, 3), gaussian(6, 3, 0)))
