"""Many L2-logistic regressions as one problem: all layers, penalties and labellings step together.

What costs time is the product of examples and weights, and the number of steps. Layers, penalties and labellings go
through the product side by side, so the examples are read from memory once for all of them; and the steps are taken in
coordinates in which the few directions that hold most of the variance (of a residual stream there always are some) are
no longer than the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["MOST_STEPS", "TOLERANCE", "fit_logistic"]

TOLERANCE = 7e-3
"""of the gradient's norm, as a share of that at the start"""
MOST_STEPS = 300
_DIRECTIONS = 48
_IN_CACHE = 5_000_000
"""numbers; each step reads them twice, the second time from nearby"""
_LINE_STEPS = 2
_TINY = 1e-30
_LEAST_CURVATURE = 1e-3


def fit_logistic(
    examples: torch.Tensor,
    labels: torch.Tensor,
    penalties: torch.Tensor,
    *,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> torch.Tensor:
    """The weights that minimise mean log(1 + exp(-s z)) + penalty |w|^2 / 2 with z = x.w + b and s = 2 label - 1.

    Args:
        examples: (layer, example, feature); features of one size (standardised, or counts) need few steps.
        labels: (example,), or (problem, example) for a labelling of its own in each problem; 0 or 1.
        penalties: (problem,), above 0. In terms of scikit-learn C = 1 / (penalty * examples).

    Returns:
        (layer, problem, feature + 1): weights, then the intercept b, which is not penalised.

    Conjugate gradients (Polak & Ribiere 1969) with the curvature's largest directions evened out (Halko et al. 2011
    find them) and Newton steps along each line. A problem is left as it is when its gradient has fallen to
    ``tolerance`` of its first, so it does not depend on what is fitted along with it. On a CPU as many layers go side
    by side as its caches hold the examples of.
    """
    import torch

    groups = -(-examples.numel() // _IN_CACHE) if examples.device.type == "cpu" else 1
    parts = torch.tensor_split(examples, min(groups, len(examples)))
    return torch.cat([_fit(part, labels, penalties, tolerance, most_steps) for part in parts])


def _fit(
    x: torch.Tensor, labels: torch.Tensor, penalties: torch.Tensor, tolerance: float, most_steps: int
) -> torch.Tensor:
    import torch

    layers, count, width = x.shape[0], x.shape[1], x.shape[2] + 1
    problems = len(penalties)
    shrink = x.new_ones(width)
    shrink[-1] = 0.0
    even = _evened(x, penalties.to(x.dtype))
    result = x.new_zeros(layers, problems, width)
    left = torch.arange(problems, device=x.device)
    y = labels.to(x.dtype).expand(problems, count)
    penalty = penalties.to(x.dtype)[:, None] * shrink

    w, z = result.clone(), x.new_zeros(layers, problems, count)
    p = torch.full_like(z, 0.5)
    gradient = _gradient(p - y, x)
    evened = even(gradient, p, left)
    square = (gradient * evened).sum(-1, keepdim=True)
    enough = tolerance**2 * square
    direction = -evened
    for _ in range(most_steps):
        moving = square > enough
        alive = moving.any(0).flatten()
        if not bool(alive.all()):  # some problems are solved in every layer
            result[:, left] = w
            left, y, penalty = left[alive], y[alive], penalty[alive]
            if left.numel() == 0:
                return result
            w, z, p, gradient, evened, square, enough, direction, moving = (
                part[:, alive] for part in (w, z, p, gradient, evened, square, enough, direction, moving)
            )
        along = torch.baddbmm(direction[..., -1:], direction[..., :-1], x.mT)
        step = _line_search(w, z, y, penalty, gradient, direction, along) * moving
        w = torch.addcmul(w, step, direction)
        z = torch.addcmul(z, step, along)
        p = torch.sigmoid(z)
        gradient = torch.addcmul(_gradient(p - y, x), penalty, w)
        following = even(gradient, p, left)
        after = (gradient * following).sum(-1, keepdim=True)
        turn = (after - (gradient * evened).sum(-1, keepdim=True)) / square.clamp_min(_TINY)
        direction = turn.clamp_min(0.0) * direction - following
        uphill = (gradient * direction).sum(-1, keepdim=True) >= 0
        direction = torch.where(uphill, -following, direction)
        evened, square = following, after
    result[:, left] = w
    return result


def _gradient(errors: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The mean over examples. Counts that both classes share add up to 0 to the last bit if they are divided last, and
    then no weight is ever moved by rounding.
    """
    import torch

    return torch.cat([errors @ x, errors.sum(-1, keepdim=True)], -1) / x.shape[1]


def _line_search(
    w: torch.Tensor,
    z: torch.Tensor,
    y: torch.Tensor,
    penalty: torch.Tensor,
    gradient: torch.Tensor,
    direction: torch.Tensor,
    along: torch.Tensor,
) -> torch.Tensor:
    """(layer, problem, 1): how far to go; the slope of a convex function is brought near 0 by Newton steps."""
    import torch

    count = z.shape[-1]
    stiffness = (penalty * direction * direction).sum(-1, keepdim=True)
    pull = (penalty * w * direction).sum(-1, keepdim=True)
    step = torch.zeros_like(stiffness)
    slope = (gradient * direction).sum(-1, keepdim=True)
    for number in range(_LINE_STEPS):
        p = torch.sigmoid(torch.addcmul(z, step, along) if number else z)
        if number:
            slope = ((p - y) * along).sum(-1, keepdim=True) / count + pull + step * stiffness
        curve = (p * (1.0 - p) * along * along).sum(-1, keepdim=True) / count + stiffness
        moved = step - slope / curve.clamp_min(_TINY)
        step = torch.minimum(torch.maximum(moved, step / 4), step * 4) if number else moved
    return step


def _evened(x: torch.Tensor, penalties: torch.Tensor) -> Callable[..., torch.Tensor]:
    """An approximate inverse of the curvature c x'x / n + penalty: exact along the largest directions, flat elsewhere.

    The function takes gradients (layer, problem, feature + 1), the probabilities (layer, problem, example) whose mean
    p (1 - p) is c, and the numbers of the problems. The intercept, whose feature is 1 throughout, goes by itself.
    """
    import torch

    count, width = x.shape[1:]
    directions = min(_DIRECTIONS, (width + 3) // 4, count)
    start = torch.randn(width, directions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = torch.linalg.qr(x.mT @ (x @ start.to(x)))[0]
    seen = x @ basis
    variance, turn = torch.linalg.eigh(seen.mT @ seen / count)
    basis, variance = basis @ turn, variance.clamp_min(0.0)
    total = torch.linalg.vector_norm(x, dim=(1, 2)).square() / count
    rest = ((total - variance.sum(-1)) / max(1, width - directions)).clamp_min(0.0)

    def even(gradient: torch.Tensor, p: torch.Tensor, problems: torch.Tensor) -> torch.Tensor:
        c = (p * (1.0 - p)).mean(-1, keepdim=True).clamp_min(_LEAST_CURVATURE)
        penalty = penalties[problems, None]
        outside = 1.0 / (c * rest[:, None, None] + penalty)
        inside = 1.0 / (c * variance[:, None, :] + penalty)
        weights = gradient[..., :-1]
        evened = torch.baddbmm(outside * weights, (weights @ basis) * (inside - outside), basis.mT)
        return torch.cat([evened, gradient[..., -1:] / c], -1)

    return even
