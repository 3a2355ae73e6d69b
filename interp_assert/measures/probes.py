"""Probes at many layers, fitted together: which direction of an activation tells two classes of texts apart?

Every probe is standardised and fitted on the training part alone; what is chosen (a penalty, a step, the best layer) is
chosen on the select part; the test part is only scored. The same code fits a labelling and its shuffled versions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageProblem
from ..stats import Split
from ..stats.auroc import auroc

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "STRENGTHS", "VERSION", "ProbeProblem", "ProbeScores", "probe_scores"]

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

VERSION = 1
"""of the definition; raised when the same activations would get other scores"""

KINDS = ("linear", "diff_of_means", "mlp")
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""the C of scikit-learn among which the select part chooses: the penalty is 1 / (C * training examples)"""

_AT_ONCE = 2**26
"""numbers of training activations that are fitted together: 256 MiB"""


@dataclass(frozen=True, eq=False)
class ProbeScores:
    """What a probe of each layer says of every example.

    Attributes:
        kind: one of ``KINDS``.
        sites: the layers, in order.
        scores: float64 (layer, example); higher for class 1.
        select, test: AUROC (layer,) on the select and on the test part.
        best: the layer with the highest AUROC on the select part, the first of equals.
    """

    kind: str
    sites: tuple[str, ...]
    scores: Floats
    select: Floats
    test: Floats
    best: int

    @property
    def chosen(self) -> Floats:
        """(example,) scores of the best layer."""
        return np.asarray(self.scores[self.best])


def probe_scores(
    features: Mapping[str, Features],
    labels: Sequence[int] | NDArray[np.int64],
    split: Split,
    *,
    kind: str = "linear",
    seed: int = 0,
) -> ProbeScores:
    """Fit a probe of this kind at every site, features (example, width), and score all examples.

    * ``linear``: L2-logistic regression, its penalty chosen on the select part.
    * ``diff_of_means``: along the difference of the classes' means.
    * ``mlp``: one hidden layer, stopped where the select part is told apart best; ``seed`` sets its start.

    Raises UsageProblem for an unknown kind or shapes that do not fit, NonFiniteMeasurement for scores that are not
    finite.
    """
    return ProbeProblem(features, split).fit(labels, kind=kind, seed=seed)


class ProbeProblem:
    """The activations of some layers, standardised on the training part: made once, fitted to any labelling.

    ``standardise=False`` leaves features as they are, for counts, of which the rare ones say little.
    """

    def __init__(self, features: Mapping[str, Features], split: Split, *, standardise: bool = True) -> None:
        if not features:
            raise UsageProblem("no features to fit a probe to; name at least one site")
        self.features = {site: np.asarray(values, dtype=np.float32) for site, values in features.items()}
        self.split = split
        counts = {values.shape[:1] if values.ndim == 2 else None for values in self.features.values()}
        if len(counts) != 1 or None in counts:
            shapes = ", ".join(f"{site} {values.shape}" for site, values in self.features.items())
            raise UsageProblem(f"features must be (example, width) with the same examples at every site, not {shapes}")
        self.blocks = [_Block.of(self.features, sites, split, standardise) for sites in self._together()]

    def fit(self, labels: Sequence[int] | NDArray[np.int64], *, kind: str = "linear", seed: int = 0) -> ProbeScores:
        """A probe of this kind at every site; see ``probe_scores``."""
        y = np.asarray(labels, dtype=np.int64)
        scores = self.scores(y[None], kind=kind, seed=seed)[:, 0]
        select, test = (np.atleast_1d(auroc(scores[:, part], y[part])) for part in (self.split.select, self.split.test))
        return ProbeScores(kind, tuple(self.features), scores, select, test, int(select.argmax()))

    def scores(self, labelings: NDArray[np.int64], *, kind: str = "linear", seed: int = 0) -> Floats:
        """float64 (layer, labelling, example) for labelings (labelling, example)."""
        y = np.asarray(labelings, dtype=np.int64)
        examples = next(iter(self.features.values())).shape[0]
        if y.ndim != 2 or y.shape[1] != examples:
            raise UsageProblem(f"labelings of shape {y.shape} for {examples} examples; give one row for each labelling")
        if kind not in KINDS:
            raise UsageProblem(f"no probe {kind!r}; there are {', '.join(KINDS)}")
        found = [self._block_scores(block, y, kind, seed) for block in self.blocks]
        order = [site for block in self.blocks for site in block.sites]
        joined = np.concatenate(found)
        return joined[[order.index(site) for site in self.features]]

    def select_and_test(self, labelings: NDArray[np.int64], *, kind: str = "linear", seed: int = 0) -> Floats:
        """(labelling,) the AUROC on the test part of the layer that is best on the select part of its labelling."""
        y = np.asarray(labelings, dtype=np.int64)
        scores = self.scores(y, kind=kind, seed=seed)
        select, test = self.split.select, self.split.test
        best = np.asarray(auroc(scores[:, :, select], y[:, select])).argmax(axis=0)
        rows = np.arange(len(y))
        return np.asarray(auroc(scores[best, rows][:, test], y[:, test]))

    def _together(self) -> Iterator[list[str]]:
        """Sites of one width, as many as may be held at once."""
        by_width: dict[int, list[str]] = {}
        for site, values in self.features.items():
            by_width.setdefault(values.shape[1], []).append(site)
        for width, sites in by_width.items():
            size = max(1, _AT_ONCE // max(1, width * len(self.split.train)))
            yield from (sites[start : start + size] for start in range(0, len(sites), size))

    def _block_scores(self, block: _Block, y: NDArray[np.int64], kind: str, seed: int) -> Floats:
        if kind == "linear":
            return _linear(block, y, self.split)
        if kind == "diff_of_means":
            return block.score(_difference(block.train, y[:, self.split.train])[:, :, None])[:, :, 0]
        from .mlp import fit_mlp

        return fit_mlp(block.train, block.standardised(), y, self.split, seed=seed)


@dataclass(frozen=True, eq=False)
class _Block:
    """Layers of one width: the standardised training part, and what it was standardised by."""

    sites: tuple[str, ...]
    values: tuple[Features, ...]
    train: torch.Tensor
    """(layer, example, width)"""
    centre: torch.Tensor
    """(layer, 1, width)"""
    scale: torch.Tensor
    """(layer, 1, width); 0 for what does not vary"""

    @classmethod
    def of(cls, features: Mapping[str, Features], sites: list[str], split: Split, standardise: bool) -> _Block:
        import torch

        values = tuple(features[site] for site in sites)
        chosen = torch.from_numpy(split.train)
        count, width = len(split.train), values[0].shape[1]
        train = torch.empty(len(sites), count, width)
        centre, scale = torch.zeros(len(sites), 1, width), torch.ones(len(sites), 1, width)
        one = torch.full((1, count), 1.0 / count)
        for number, part in enumerate(values):
            x = torch.index_select(_tensor(part), 0, chosen, out=train[number])
            if standardise:
                mean = one @ x
                x -= mean  # first: a mean may be thousands of times the deviation
                rest = one @ x
                deviation = (one @ (x * x) - rest * rest).clamp_min(0.0).sqrt()
                centre[number] = mean + rest
                varies = deviation > 1e-6 * centre[number].abs()
                scale[number] = torch.where(varies, 1.0 / deviation.clamp_min(1e-30), 0.0)
                x.sub_(rest).mul_(scale[number])
        return cls(tuple(sites), values, train, centre, scale)

    def score(self, weights: torch.Tensor, part: NDArray[np.int64] | None = None) -> Floats:
        """(layer, labelling, problem, example) of weights (layer, labelling, problem, width[ + 1]); of all examples, or
        of a ``part`` of them.
        """
        width = self.train.shape[-1]
        found = []
        for number, values in enumerate(self.values):
            scaled = weights[number, ..., :width] * self.scale[number, 0]
            shift = -(scaled.double() @ self.centre[number, 0].double())[..., None]
            if weights.shape[-1] > width:
                shift = shift + weights[number, ..., -1:].double()
            flat = scaled.reshape(-1, width) @ _tensor(values if part is None else values[part]).T
            found.append((flat.reshape(*scaled.shape[:-1], -1).double() + shift).numpy())
        return np.stack(found)

    def standardised(self) -> torch.Tensor:
        """(layer, example, width) of all examples."""
        import torch

        return torch.stack([(_tensor(part) - self.centre[i]) * self.scale[i] for i, part in enumerate(self.values)])


def _tensor(values: Features) -> torch.Tensor:
    """The same memory; what is remembered of a model is read-only, which torch warns of and nothing here violates."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)


def _linear(block: _Block, y: NDArray[np.int64], split: Split) -> Floats:
    """Logistic regression at every penalty; each layer and labelling keeps the one that is best on the select part."""
    import torch

    from .logistic import fit_logistic

    labelings, choices = len(y), len(STRENGTHS)
    penalties = torch.tensor([1.0 / (strength * len(split.train)) for strength in STRENGTHS])
    labels = torch.from_numpy(y[:, split.train]).repeat_interleave(choices, 0)
    weights = fit_logistic(block.train, labels, penalties.repeat(labelings))
    layers = weights.shape[0]
    weights = weights.reshape(layers, labelings, choices, -1)
    at_select = auroc(block.score(weights, split.select), y[None, :, None, split.select])
    best = torch.from_numpy(np.asarray(at_select).argmax(axis=2))  # of equals the strongest penalty
    return block.score(weights.take_along_dim(best[:, :, None, None], 2))[:, :, 0]


def _difference(train: torch.Tensor, y: NDArray[np.int64]) -> torch.Tensor:
    """(layer, labelling, width) mean of class 1 minus mean of class 0."""
    import torch

    upper = torch.from_numpy(y).to(train.dtype)
    lower = 1.0 - upper
    shares = upper / upper.sum(-1, keepdim=True) - lower / lower.sum(-1, keepdim=True)
    return shares @ train
