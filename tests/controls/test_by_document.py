"""A coder against cheaper reconstructions, document by document: by what either leaves unexplained."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch

from interp_assert.controls import TWIN_MARGIN, BetterByDocument, pca_control, principal_components
from interp_assert.errors import UsageProblem
from interp_assert.stats import ErrorLevels, Outcome


def compared(own: float | np.ndarray, other: float | np.ndarray, n: int = 200) -> Outcome:
    control = BetterByDocument("other", TWIN_MARGIN, 0.5, ErrorLevels(), note="another")
    return control.update(np.broadcast_to(own, n), np.broadcast_to(other, n))


@pytest.mark.parametrize(
    ("own", "other", "outcome"),
    [
        (0.9, 0.8, Outcome.PASS),
        (0.8, 0.9, Outcome.FAIL),
        (0.8, 0.8, Outcome.FAIL),
        (0.99, 0.96, Outcome.PASS),  # what is left is a quarter, although VE cannot differ by more than .04
        (0.5, 0.46, Outcome.FAIL),  # as great a difference of VE, but a fourteenth less is left
        (0.1, -0.5, Outcome.PASS),
        (-5.0, -9.0, Outcome.PASS),
        (1.0, 1.0, Outcome.FAIL),  # a projection on as many components as there are dimensions
        (1.0, 0.99, Outcome.PASS),
        (np.nan, 0.5, Outcome.FAIL),
        (0.9, np.nan, Outcome.FAIL),
        (-np.inf, -np.inf, Outcome.FAIL),
        (-np.inf, 0.5, Outcome.FAIL),
    ],
)
def test_what_is_left_unexplained_decides(own: float, other: float, outcome: Outcome) -> None:
    assert compared(own, other) is outcome


@pytest.mark.parametrize(("factor", "outcome"), [(1.01, Outcome.PASS), (0.99, Outcome.FAIL)])
def test_the_margin_is_a_factor(factor: float, outcome: Outcome) -> None:
    left = np.linspace(0.01, 0.6, 200)
    assert compared(1.0 - left, 1.0 - left * exp(TWIN_MARGIN) * factor) is outcome


def test_half_of_the_documents_decide_nothing() -> None:
    other = np.tile([0.8, 0.95], 100)
    assert compared(np.full(200, 0.9), other) is Outcome.INCONCLUSIVE


def test_a_result_tells_its_scale() -> None:
    control = pca_control(3, TWIN_MARGIN, 0.5, ErrorLevels())
    control.update(np.full(64, 0.9), np.full(64, 0.6))
    result = control.result(0.61)
    assert (result.outcome, result.n) == (Outcome.PASS, 11)
    assert result.note == (
        "projection on the first 3 principal components of the training activations: VE 0.610; share of documents of "
        "which the coder leaves less unexplained by a factor of 1.28"
    )


class TestPrincipalComponents:
    @pytest.mark.parametrize("width", [12, 1100])
    def test_explain_the_share_of_the_largest_eigenvalues(self, width: int) -> None:
        """The exact decomposition and, beyond 1,024 dimensions, the iteration."""
        generator = torch.Generator().manual_seed(0)
        spectrum = torch.ones(width) * 0.05
        spectrum[:4] = torch.tensor([16.0, 9.0, 4.0, 1.0])
        directions = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
        x = torch.randn(1500, width, generator=generator) * spectrum.sqrt() @ directions + 7.0
        projected = principal_components(x, x.mean(0), 3)(x)
        about = (x - x.mean(0)).double()
        explained = 1.0 - float((x - projected).double().square().sum() / about.square().sum())
        largest = torch.linalg.eigvalsh(about.T @ about)[-3:].sum()
        assert explained == pytest.approx(float(largest / about.square().sum()), abs=1e-3)

    def test_a_rank_that_there_is_not(self) -> None:
        x = torch.randn(10, 4)
        with pytest.raises(UsageProblem, match="4 dimensions have 1 to 4 principal components"):
            principal_components(x, x.mean(0), 5)
