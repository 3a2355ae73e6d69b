"""``assert_steers``: adding the difference of two classes to the residual stream moves what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..controls import DIRECTIONS, TwinScore, beats_directions, norm_matched, random_weights, shuffle_labels
from ..errors import UsageProblem
from ..measures.activations import read_last
from ..measures.steering import (
    ALPHAS,
    VERSION,
    class_difference,
    dose_response,
    dose_responses,
    mean_difference,
    steering_site,
)
from ..measures.steering_target import TargetUnknown, resolve_target
from ..prompts import LabelledRows, LabelledTexts
from ..stats import Budget, ControlResult, ErrorLevels, Measurement, SequentialGate, Verdict
from ..stats.splits import Split, split_by_group
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .engine import halvings
from .judging import judged
from .progress import report
from .reasons import changed_settings, not_applicable, sees_the_future
from .recording import conclude
from .steers_text import Prompts, neutral_text, steered_prompts

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "SteeringDefaults", "assert_steers"]

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
    least: int = 20
    """prompts (groups of them); with fewer the claim is not applicable"""
    control_prompts: int = 64
    """clusters of which the first prompt is steered along meaningless directions, and in twins"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = SteeringDefaults()


def assert_steers(
    model: Model,
    data: LabelledTexts,
    *,
    target: Sequence[str | int],
    prompts: Sequence[str] | None = None,
    layer: int | None = None,
    floor: float = DEFAULTS.floor,
    slope: float = 0.0,
    alphas: Sequence[float] = ALPHAS,
    nll_budget: float = DEFAULTS.nll_budget,
    neutral: Sequence[str] | Sequence[Sequence[int]] | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that the difference of the class means of ``data``, added to the residual stream, tips the balance between
    two tokens: that more than ``floor`` of the prompts respond to the dose with more than ``slope`` logits per class
    distance.

    The direction is made of the training part of the labelled texts, after ``layer`` blocks (half of them by default).
    ``target`` names the word of class 1 and that of class 0, each one token after the prompts (or token ids);
    ``prompts`` are what is steered, by default the texts of the test part, which shares no group with the training
    part. A dose of ``alphas`` adds that many class distances at every position; the response is the least-squares slope
    of logit(class 1's word) - logit(class 0's word) at the last position.

    Required controls: the mean slope is out of reach of 20 random directions of the same norm, of 20 differences of
    classes that were dealt out at random, group by group, and of random-weights ``twins`` with a direction of their own
    (all three t-predictions: approximate); and on ``neutral`` text (documents that the
    model writes itself by default) a dose of one class distance, either way, costs at most ``nll_budget`` nats per
    token in more than half of the documents.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable if the model has no
    tokenizer, does not know the words, or has fewer than 20 prompts (groups of them) left; UsageProblem for impossible
    arguments, NonFiniteMeasurement where a dose makes logits that are not finite.
    """
    model, levels, allowed = model_of(model), levels_of(levels), budget_of(budget)
    seed, twins, floor = seed_of(seed), twins_of(twins), share_of("floor", floor)
    _check(data, slope, nll_budget)
    with model.metered() as span, halvings() as halved:
        n_blocks = int(model.anatomy.n_blocks)
        layer = ceil(DEFAULTS.depth * n_blocks) if layer is None else layer
        site = steering_site(model, layer)
        where = f"block {layer} of {n_blocks}"
        claim = (
            f"adding the difference of {data.classes[1]} and {data.classes[0]} ({data.name}) after {where} moves "
            f"{target[0]!r} against {target[1]!r} by more than {slope:g} logits per class distance in more than "
            f"{floor:g} of the prompts"
        )
        details: dict[str, Any] = {
            "quantity": "share of steerable prompts",
            "data": data.name,
            "target": [str(word) for word in target],
            "layer": layer,
            "site": site,
            "seed": seed,
            **{key: value for key, value in changed_settings(allowed, levels, twins, scheme, "").items() if value},
        }

        def without(reason: str) -> Verdict:
            return conclude(not_applicable(CHECK, model, where, claim, reason, levels, details, span.cost))

        reason = sees_the_future(model)
        if reason is None and model.tokenizer is None:
            reason = "it has no tokenizer, so the texts cannot be put into its tokens"
        if reason is not None:
            return without(reason)
        listed = data.put_into_tokens(model)
        details["texts"] = listed.note
        if listed.data is None or listed.data.n_groups < DEFAULTS.least:
            known = 0 if listed.data is None else listed.data.n_groups
            return without(f"{known} groups of {data.name} are in its tokens, at least {DEFAULTS.least} are needed")
        split = split_by_group(listed.labels, listed.groups, seed=seed)
        chosen = steered_prompts(model, listed, split, prompts, allowed.clusters, seed)
        if len(chosen.clusters) < min(DEFAULTS.least, allowed.clusters):
            return without(f"{len(chosen.clusters)} prompts are left, at least {DEFAULTS.least} are needed")
        try:
            ids = resolve_target(model, target, chosen.texts)
        except TargetUnknown as problem:
            return without(str(problem))
        run = _Run(model, _Training(listed, split), chosen, site, ids, tuple(alphas), seed)
        measured = run.measured()
        gate = SequentialGate(floor, levels=levels, population=len(chosen.clusters))
        gate.update(_steerable(chosen, run.response.slopes > slope).values)
        report(CHECK, model.id, gate.n, len(chosen.clusters))
        controls = (
            *run.meaningless_directions(levels.control),
            neutral_text(model, site, run.direction, DEFAULTS.coherent, neutral, nll_budget, levels, seed),
            run.compare_with_twins(twins, scheme, levels.control),
        )
    return conclude(
        judged(
            CHECK,
            model,
            gate,
            controls,
            claim=claim,
            levels=levels,
            details=details | run.details() | {"batch_halvings": halved},
            cost=span.cost,
            layer=where,
            measurements=(measured,),
        )
    )


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


class _Run:
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

    def meaningless_directions(self, level: float) -> tuple[ControlResult, ControlResult]:
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
            results.append(beats_directions(name, own, others, level=level, note=note, details=norms))
        return results[0], results[1]

    def compare_with_twins(self, n: int | None, scheme: str, level: float) -> ControlResult:
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
            level=level,
            each=each,
        )

    def _slopes(self, model: Model, directions: Sequence[Floats]) -> list[Floats]:
        vectors = np.stack(directions)
        responses = dose_responses(model, self.some, self.site, vectors, self.target, alphas=self.alphas)
        return [response.slopes for response in responses]

    def details(self) -> dict[str, Any]:
        """Everything in builtins; the curve is the mean over all prompts."""
        slopes, metric = self.response.slopes, self.response.metric
        anti = float((slopes < 0).mean())
        curve = {f"{alpha:g}": float(value) for alpha, value in zip(self.response.alphas, metric.mean(0), strict=True)}
        stream = read_last(self.model, self.train.rows, [self.site])[self.site]
        ratio = float(np.linalg.norm(self.direction) / np.linalg.norm(stream, axis=1).mean())
        return {
            "slope": float(slopes.mean()),
            "slope_quartiles": [float(q) for q in np.quantile(slopes, (0.25, 0.5, 0.75))],
            "anti_steerable": anti,
            "by_dose": curve,
            "norm": float(np.linalg.norm(self.direction)),
            "norm_to_stream": ratio,
            "prompts": len(slopes),
            "trained_on": len(self.train.rows),
            "profile": {
                "slope": f"{slopes.mean():.3f} logits per class distance, {anti:.0%} of {len(slopes)} prompts "
                "anti-steerable",
                "dose": ", ".join(f"{alpha}: {value:.2f}" for alpha, value in curve.items()),
                "direction": f"{ratio:.2f} times the stream's norm, from {len(self.train.rows)} texts",
            },
        }


def _steerable(prompts: Prompts, responds: NDArray[np.bool_]) -> Measurement:
    """The share of each cluster's prompts that respond as claimed."""
    return Measurement(
        "steering/steerable",
        VERSION,
        prompts.clusters,
        prompts.pooled(responds.astype(np.float64)),
        0,
        1,
        "share of prompts",
        "higher",
    )


def _check(data: LabelledTexts, slope: float, nll_budget: float) -> None:
    if not isinstance(data, LabelledTexts):
        raise UsageProblem(f"data is a {type(data).__name__}; make LabelledTexts of it with read_labelled(...)")
    for name, value in (("slope", slope), ("nll_budget", nll_budget)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
            raise UsageProblem(f"{name}={value!r} must be a number of at least 0")
