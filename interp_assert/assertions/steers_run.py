"""A direction made of labelled texts, what it does to every prompt, and what others do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..controls import DIRECTIONS, TwinScore, beats_directions, norm_matched, random_weights, shuffle_labels
from ..errors import ContextTooShort, SiteNotAvailable
from ..measures.activations import read_last
from ..measures.attribution import NotLinear, attribute_difference
from ..measures.steering import (
    ALPHAS,
    VERSION,
    NoDirection,
    class_difference,
    dose_response,
    dose_responses,
    doses_of,
    mean_difference,
    steering_site,
)
from ..measures.steering_target import TargetUnknown, resolve_target
from ..prompts import LabelledRows, LabelledTexts, put_into_tokens
from ..stats import ControlResult, ErrorLevels, Measurement
from ..stats.splits import Split, split_by_group
from .progress import report
from .reasons import sees_the_future
from .steers_text import LEAST, Prompts, steered_prompts

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "SteeringDefaults", "SteeringRun", "steer"]

CHECK = "controls/steering"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SteeringDefaults:
    """What ``assert_steers`` claims and compares with if nothing else is said."""

    floor: float = 0.75
    """share of the prompts whose response to the dose is positive: at most a quarter may be anti-steerable"""
    depth: float = 0.5
    """after block ceil(depth * blocks), counted from 1"""
    nll_budget: float = 0.5
    """nats per token by which a dose of one class distance may make neutral text less likely, either way"""
    coherent: tuple[float, float] = (-1.0, 1.0)
    """doses at which neutral text is read"""
    least: int = LEAST
    """prompts (groups of them); with fewer the claim is not applicable"""
    attributed: int = 128
    """texts at most, of which it is told what writes the difference of their classes"""
    control_prompts: int = 64
    """clusters of which the first prompt is steered along meaningless directions, and in twins"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = SteeringDefaults()


def steer(
    model: Model,
    data: LabelledTexts,
    target: Sequence[str | int],
    *,
    layer: int,
    prompts: Sequence[str] | None = None,
    at_most: int,
    seed: int,
    alphas: Sequence[float] = ALPHAS,
) -> SteeringRun | str:
    """Make the direction and steer every prompt, or say why that cannot be done with this model.

    Raises UsageProblem for what is wrong with the request whatever the model.
    """
    site, doses = steering_site(model, layer), doses_of(alphas)
    reason = sees_the_future(model)
    if reason is not None:
        return reason
    if model.tokenizer is None:
        return "it has no tokenizer, so the texts cannot be put into its tokens"
    try:
        listed = put_into_tokens(data, model)
    except ContextTooShort as problem:
        return str(problem)
    known = 0 if listed.data is None else listed.data.n_groups
    if known < DEFAULTS.least:
        return f"{known} groups of {data.name} are in its tokens, at least {DEFAULTS.least} are needed ({listed.note})"
    split = split_by_group(listed.labels, listed.groups, seed=seed)
    chosen = steered_prompts(model, listed, split, prompts, at_most, seed)
    if len(chosen.clusters) < min(DEFAULTS.least, at_most):
        return f"{len(chosen.clusters)} prompts are left, at least {DEFAULTS.least} are needed{chosen.note}"
    try:
        ids = resolve_target(model, target, chosen.texts)
        return SteeringRun(model, _Training(listed, split), chosen, site, ids, doses, seed)
    except (TargetUnknown, NoDirection, SiteNotAvailable, ContextTooShort) as problem:
        return str(problem)


@dataclass(frozen=True, eq=False)
class _Training:
    """What a direction is made of: the training part of the labelled rows."""

    listed: LabelledRows
    split: Split

    @property
    def rows(self) -> list[tuple[int, ...]]:
        return [self.listed.rows[i] for i in self.split.train]

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.listed.labels[self.split.train]

    def shuffled(self, count: int, seed: int) -> NDArray[np.int64]:
        """(count, rows) labels of the training part dealt out at random, group by group."""
        generator = np.random.default_rng([seed, 0x5AB])
        dealt = shuffle_labels(self.listed.labels, self.listed.groups, self.split, generator, count)
        return np.asarray(dealt[:, self.split.train])

    def direction(self, model: Model, site: str) -> Floats:
        """The difference of the class means in this model's own activations."""
        return class_difference(model, self.rows, self.labels, [site])[site]


class SteeringRun:
    """The direction, and what it does to every prompt."""

    def __init__(
        self,
        model: Model,
        train: _Training,
        prompts: Prompts,
        site: str,
        target: tuple[int, int],
        alphas: tuple[float, ...],
        seed: int,
    ) -> None:
        self.model, self.train, self.prompts = model, train, prompts
        self.site, self.target, self.alphas, self.seed = site, target, alphas, seed
        self.direction = train.direction(model, site)
        report(CHECK, model.id, 0, len(prompts.clusters))
        self.response = dose_response(model, prompts.rows, site, self.direction, target, alphas=alphas)
        self.places = prompts.one_of_each(DEFAULTS.control_prompts)
        self.some = [prompts.rows[place] for place in self.places]

    def measured(self) -> Measurement:
        """The slope of each cluster."""
        values = self.prompts.pooled(self.response.slopes)
        return Measurement(
            "steering/slope", VERSION, self.prompts.clusters, values, -np.inf, np.inf, "logits per dose", "higher"
        )

    def steerable(self, slope: float) -> Measurement:
        """The share of each cluster's prompts that respond with more than ``slope`` logits per class distance."""
        return Measurement(
            "steering/steerable",
            VERSION,
            self.prompts.clusters,
            self.prompts.pooled((self.response.slopes > slope).astype(np.float64)),
            0,
            1,
            "share of prompts",
            "higher",
        )

    def meaningless_directions(self, levels: ErrorLevels) -> tuple[ControlResult, ControlResult]:
        """The same prompts and doses with directions that mean nothing: random ones as long as the real one, and what
        the same recipe makes of labels that were dealt out at random.
        """
        own = self.response.slopes[self.places]
        activations = read_last(self.model, self.train.rows, [self.site])[self.site]
        kinds = {
            "random_directions": (
                list(norm_matched(self.direction, seed=self.seed)),
                f"mean slope against {DIRECTIONS} random directions of the same norm; t-prediction",
            ),
            "shuffled_labels": (
                [mean_difference(activations, labels) for labels in self.train.shuffled(DIRECTIONS, self.seed)],
                f"mean slope against {DIRECTIONS} differences of labels dealt out by group; t-prediction",
            ),
        }
        results = []
        for name, (directions, note) in kinds.items():
            others = self._slopes(self.model, directions)
            report(f"{CHECK} ({name})", self.model.id, own.size, own.size)
            norms = {"norms": [float(np.linalg.norm(direction)) for direction in directions]}
            level, fail_level = levels.control, levels.control_fail
            results.append(
                beats_directions(name, own, others, level=level, fail_level=fail_level, note=note, details=norms)
            )
        return results[0], results[1]

    def compare_with_twins(self, n: int | None, scheme: str, levels: ErrorLevels) -> ControlResult:
        """The same texts, layer, prompts and target on every twin, with the direction of its own activations."""

        def score(slopes: Floats) -> TwinScore:
            error = float(slopes.std(ddof=1) / np.sqrt(slopes.size))
            return TwinScore.identity(float(slopes.mean()), error=error, n=slopes.size)

        def each(k: int) -> None:
            report(f"{CHECK} (random-weights twin {k})", self.model.id, len(self.some), len(self.some))

        return random_weights(
            self.model,
            score(self.response.slopes[self.places]),
            lambda twin: score(self._slopes(twin, [self.train.direction(twin, self.site)])[0]),
            scheme=scheme,
            n=n,
            seed=self.seed,
            level=levels.control,
            fail_level=levels.control_fail,
            each=each,
        )

    def _slopes(self, model: Model, directions: Sequence[Floats]) -> list[Floats]:
        vectors = np.stack(directions)
        responses = dose_responses(model, self.some, self.site, vectors, self.target, alphas=self.alphas)
        return [response.slopes for response in responses]

    def attribution(self) -> dict[str, Any]:
        """What writes the difference of the classes between the target's words, in the texts of the test part; or,
        under ``missing``, why that is not known.
        """
        listed, test = self.train.listed, self.train.split.test[: DEFAULTS.attributed]
        try:
            found = attribute_difference(self.model, [listed.rows[i] for i in test], listed.labels[test], self.target)
        except (NotLinear, SiteNotAvailable) as problem:
            return {"missing": str(problem)}
        order = np.argsort(-np.abs(found.effects), kind="stable")
        parts = [{"component": found.components[i], "logits": float(found.effects[i])} for i in order]
        return {"total": found.total, "left": found.left, "texts": len(test), "parts": parts}

    def details(self) -> dict[str, Any]:
        """Everything in builtins; the curve is the mean over all prompts."""
        slopes, metric = self.response.slopes, self.response.metric
        anti = float((slopes < 0).mean())
        curve = {f"{alpha:g}": float(value) for alpha, value in zip(self.response.alphas, metric.mean(0), strict=True)}
        stream = read_last(self.model, self.train.rows, [self.site])[self.site]
        ratio = float(np.linalg.norm(self.direction) / np.linalg.norm(stream, axis=1).mean())
        return {
            "texts": self.train.listed.note,
            "slope": float(slopes.mean()),
            "slope_quartiles": [float(q) for q in np.quantile(slopes, (0.25, 0.5, 0.75))],
            "anti_steerable": anti,
            "by_dose": curve,
            "norm": float(np.linalg.norm(self.direction)),
            "norm_to_stream": ratio,
            "prompts": len(slopes),
            "prompts_left_out": self.prompts.note.strip(" ()"),
            "trained_on": len(self.train.rows),
            "profile": {
                "slope": f"{slopes.mean():.3f} logits per class distance, {anti:.0%} of {len(slopes)} prompts "
                "anti-steerable",
                "dose": ", ".join(f"{alpha}: {value:.2f}" for alpha, value in curve.items()),
                "direction": f"{ratio:.2f} times the stream's norm, from {len(self.train.rows)} texts",
            },
        }
