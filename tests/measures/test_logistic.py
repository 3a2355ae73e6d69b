"""Many logistic regressions at once are the regressions that scikit-learn fits one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_assert.measures.logistic import fit_logistic


def examples(layers: int = 3, n: int = 120, d: int = 20, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised features whose variance falls off, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(layers, d, d)) / np.arange(1, d + 1)[:, None]
    x = rng.normal(size=(layers, n, d)) @ mixing
    y = (x[0, :, 0] / x[0, :, 0].std() + rng.normal(size=n) > 0).astype(int)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return torch.from_numpy(x), torch.from_numpy(y)


def objective(x: torch.Tensor, y: torch.Tensor, penalty: float, w: torch.Tensor) -> float:
    z = x @ w[:-1] + w[-1]
    return float(torch.nn.functional.softplus(-(2.0 * y - 1) * z).mean() + penalty * w[:-1].square().sum() / 2)


@pytest.mark.parametrize("d", [1, 3, 20, 200])
def test_each_is_what_scikit_learn_finds(d: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = examples(d=d)
    penalties = torch.tensor([1e-3, 1e-1, 10.0], dtype=torch.float64)
    weights = fit_logistic(x, y, penalties, tolerance=1e-9)
    for layer in range(3):
        for number, penalty in enumerate(penalties.tolist()):
            found = linear_model.LogisticRegression(C=1 / (penalty * 120), tol=1e-10, max_iter=10_000)
            found.fit(x[layer].numpy(), y.numpy())
            np.testing.assert_allclose(weights[layer, number, :-1], found.coef_[0], atol=2e-5)
            assert float(weights[layer, number, -1]) == pytest.approx(found.intercept_[0], abs=2e-5)


def test_labelings_of_their_own() -> None:
    x, y = examples()
    other = torch.from_numpy(np.random.default_rng(1).permutation(y.numpy()))
    penalties = torch.tensor([0.1, 0.1])
    both = fit_logistic(x, torch.stack([y, other]), penalties, tolerance=1e-8)
    for number, labels in enumerate((y, other)):
        alone = fit_logistic(x, labels, penalties[:1], tolerance=1e-8)
        torch.testing.assert_close(both[:, number], alone[:, 0], atol=1e-6, rtol=0)


def test_a_problem_does_not_depend_on_its_neighbours() -> None:
    """Stopped early as it is, at the default tolerance: what is fitted along with it changes nothing but rounding."""
    x, y = examples(layers=2, d=40)
    penalties = torch.tensor([1e-3, 1e-1, 10.0])
    together = fit_logistic(x, y, penalties)
    for layer in range(2):
        for number in range(3):
            alone = fit_logistic(x[layer : layer + 1], y, penalties[number : number + 1])
            torch.testing.assert_close(together[layer, number], alone[0, 0], atol=1e-9, rtol=1e-9)


def test_the_default_tolerance_is_close_to_the_minimum() -> None:
    x, y = examples(n=400, d=100)
    for penalty in (1e-3, 1e-1):
        best = fit_logistic(x, y, torch.tensor([penalty]), tolerance=1e-9)
        usual = fit_logistic(x.float(), y, torch.tensor([penalty])).double()
        for layer in range(3):
            least = objective(x[layer], y, penalty, best[layer, 0])
            assert objective(x[layer], y, penalty, usual[layer, 0]) - least < 1e-4


@pytest.mark.parametrize("kind", ["separable", "constant", "huge", "two examples", "more features than examples"])
def test_hard_cases_end_in_finite_weights(kind: str) -> None:
    x, y = examples(d=30)
    if kind == "separable":
        x[..., 0] = 4.0 * y - 2.0
    elif kind == "constant":
        x = torch.zeros_like(x)
    elif kind == "huge":
        x = 1e4 * x
    elif kind == "two examples":
        first = [int(torch.nonzero(y == label)[0]) for label in (0, 1)]
        x, y = x[:, first], y[first]
    else:
        x, y = examples(n=12, d=300)
    for dtype in (torch.float32, torch.float64):
        for penalty in (1e-6, 1.0):
            weights = fit_logistic(x.to(dtype), y, torch.tensor([penalty]))
            assert weights.dtype == dtype
            assert bool(torch.isfinite(weights).all())
            for layer in range(len(x)):
                nothing = torch.zeros_like(weights[layer, 0]).double()
                found = objective(x[layer].double(), y, penalty, weights[layer, 0].double())
                assert found <= objective(x[layer].double(), y, penalty, nothing) + 1e-9
