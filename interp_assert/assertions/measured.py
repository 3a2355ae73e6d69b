"""``assert_measured``: a claim about a measurement of one's own, with the controls that every claim has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ..controls import PairedControl, TwinScore, random_weights
from ..errors import UsageProblem
from ..measures.own import Clusters, OwnMeasurement
from ..stats import Budget, ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, twins_of
from .asserting import asserted
from .engine import draw_until_decided, halvings
from .judging import judged
from .paired_claim import PairedClaim
from .progress import report
from .reasons import LACKING, not_applicable
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["DEFAULTS", "MeasuredDefaults", "assert_measured"]


@dataclass(frozen=True)
class MeasuredDefaults:
    """What ``assert_measured`` claims and compares with if nothing else is said."""

    margin: float = 0.05
    """of the range, by which a score must be better than that on its null input; 0 without a finite range"""
    share: float = 0.5
    """of the clusters that must lie beyond the floor, where a score has no finite range"""
    first_batch: int = 64
    """clusters run before the gates are first asked; doubled from then on"""
    twin_clusters: int = 64
    """the first clusters, on which model and twins are compared whenever the gates stop"""
    least: int = 20
    """clusters of a list; with fewer the claim is not applicable"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = MeasuredDefaults()


@asserted
def assert_measured(
    measure: OwnMeasurement,
    model: Model,
    *,
    floor: float | None = None,
    limit: float | None = None,
    margin: float | None = None,
    share: float | None = None,
    prompts: Any = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that a measurement made by ``@measurement`` is above a ``floor`` (below a ``limit``, where lower is better)
    on average, or, without either, better than on its null input by more than ``margin``.

    Two controls are required: the null input if the measurement has one, paired prompt by prompt, and random-weights
    ``twins`` on the same first 64 prompts, with whatever is trained trained anew (5 by default, 1 and advisory above a
    billion parameters). Of a score without a finite range the claim is that more than ``share`` (half) of the prompts
    lie beyond the floor, or are better than their null input, which is decided exactly whatever the distribution.

    Prompts are drawn until everything is decided, a FAIL is established or the ``budget`` is spent. A list is drawn in
    a seeded order without replacement, and the claim is about it (about its first part, if it is longer than the
    budget). ``prompts`` replaces those of the measurement.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable with the reason if
    the model lacks a site that the function reads, its context is too short, or fewer than 20 prompts can be made for
    it; UsageProblem for impossible arguments (a list of fewer than 20 prompts is one); NonFiniteMeasurement and
    BadMeasurement for what the function returned.
    """
    model, levels, allowed = model_of(model), levels_of(levels), budget_of(budget)
    seed, twins = seed_of(seed), twins_of(twins)
    asked = _asked(measure, floor, limit, margin, share)
    settings: dict[str, Any] = {
        "quantity": asked.quantity,
        "measure": {"name": measure.name, "version": measure.version, "unit": measure.unit},
        "seed": seed,
        "budget": {"name": allowed.name, "clusters": allowed.clusters},
    }
    with model.metered() as span, halvings() as halved:
        try:
            clusters = measure.clusters(model, seed, prompts)
            size = None if clusters.size is None else min(clusters.size, allowed.clusters)
            if size is not None and size < min(DEFAULTS.least, allowed.clusters):
                if measure.fixed(prompts):
                    raise UsageProblem(
                        f"{measure.name}: a list of {size} prompts; at least {DEFAULTS.least} are needed"
                    )
                reason = f"{size} prompts could be made for it, at least {DEFAULTS.least} are needed"
                return conclude(
                    not_applicable(measure.name, model, None, asked.claim, reason, levels, settings, span.cost)
                )
            run = _Run(measure, model, clusters, size, asked, levels)
            draw_until_decided(
                measure.name,
                model.id,
                first=DEFAULTS.first_batch,
                at_most=allowed.clusters if size is None else size,
                draw=run.draw,
                outcomes=run.outcomes,
            )
        except LACKING as problem:
            verdict = not_applicable(measure.name, model, None, asked.claim, str(problem), levels, settings, span.cost)
            return conclude(verdict, problem)
        twin_control = run.compare_with_twins(twins, scheme, levels)
    return conclude(
        judged(
            measure.name,
            model,
            run.gate,
            (*run.null_results(), twin_control),
            claim=asked.claim,
            levels=levels,
            details=settings | run.details() | {"batch_halvings": halved},
            cost=span.cost,
            measurements=run.measured,
        )
    )


@dataclass(frozen=True)
class _Asked:
    """The claim: what is compared with what, and the sentence that says so."""

    floor: float | None
    margin: float
    share: float
    quantity: str
    claim: str


def _asked(
    measure: OwnMeasurement, floor: float | None, limit: float | None, margin: float | None, share: float | None
) -> _Asked:
    if not isinstance(measure, OwnMeasurement):
        raise UsageProblem(f"{measure!r} is no measurement; put @measurement('mine/quantity', ...) on the function")
    higher = measure.direction == "higher"
    if (limit if higher else floor) is not None:
        given, wanted = ("limit", "floor") if higher else ("floor", "limit")
        raise UsageProblem(f"{measure.name}: {measure.direction} is better, so give {wanted}= instead of {given}=")
    beyond = floor if higher else limit
    if beyond is None and measure.null is None:
        raise UsageProblem(
            f"{measure.name} has no null input to be compared with: give {'floor' if higher else 'limit'}=, or declare "
            "@measurement(..., null=...)"
        )
    if beyond is not None and not (_number(beyond) and measure.lo <= beyond <= measure.hi):
        raise UsageProblem(
            f"{measure.name}: {beyond!r} must be a number in the range of the score, [{measure.lo:g}, {measure.hi:g}]"
        )
    if share is not None and measure.bounded:
        raise UsageProblem(
            f"{measure.name}: share={share!r} is for scores without a finite range; of this one the mean is decided"
        )
    if margin is not None and measure.null is None:
        raise UsageProblem(f"{measure.name}: margin={margin!r} is over the null input, which it does not have")
    share = DEFAULTS.share if share is None else share
    if margin is None:
        margin = DEFAULTS.margin * (measure.hi - measure.lo) if measure.bounded else 0.0
    if not _number(margin) or not 0.0 <= margin < measure.hi - measure.lo:
        raise UsageProblem(f"{measure.name}: margin={margin!r} must be 0 or more, and less than the range of the score")
    if not _number(share) or not 0.0 < share < 1.0:
        raise UsageProblem(f"{measure.name}: share={share!r} must be a number above 0 and below 1")
    of, unit = ("", measure.unit) if measure.bounded else (f"in more than {share:g} of the prompts, ", "share")
    if beyond is None:
        what = f"is {'higher' if higher else 'lower'} than on the null input by more than {margin:g}"
        quantity = "advantage over the null input" if measure.bounded else "share better than the null input"
    else:
        what = f"is {'above' if higher else 'below'} {beyond:g}"
        quantity = unit if measure.bounded else f"share {'above' if higher else 'below'} {beyond:g} {measure.unit}"
    return _Asked(beyond, float(margin), float(share), quantity, f"{measure.summary}: {of}{measure.unit} {what}")


class _Run:
    """The clusters measured so far, and the gates that they feed in order."""

    def __init__(
        self,
        measure: OwnMeasurement,
        model: Model,
        clusters: Clusters,
        size: int | None,
        asked: _Asked,
        levels: ErrorLevels,
    ) -> None:
        self.measure = measure
        self.model = model
        self.clusters = clusters
        self.asked = asked
        self.trained = measure.trained(model, clusters.seed)
        self.real: Measurement | None = None
        self.null: Measurement | None = None
        # of a score without bounds the share of clusters beyond the floor is claimed, which is a score in [0, 1]
        floor = asked.floor if measure.bounded or asked.floor is None else asked.share
        lo, hi = (measure.lo, measure.hi) if measure.bounded else (0.0, 1.0)
        direction = measure.direction if measure.bounded else "higher"
        self.paired: PairedClaim | None = None
        if measure.null is not None:
            control = PairedControl(
                "null input",
                asked.margin,
                levels,
                note="score - score on the null input, paired by prompt",
                population=size,
                width=measure.hi - measure.lo if measure.bounded else 1.0,
                share=None if measure.bounded else asked.share,
                direction=measure.direction,
            )
            self.paired = PairedClaim(control, floor, levels, lo=lo, hi=hi, direction=direction)
            self.gate = self.paired.gate
        else:
            self.gate = SequentialGate(
                floor if floor is not None else lo, lo=lo, hi=hi, levels=levels, population=size, direction=direction
            )

    def draw(self, start: int, count: int) -> None:
        """Run clusters start .. start + count - 1 and feed the gates with them."""
        drawn = self.clusters.take(start, count)
        real = self.measure.measure(self.model, drawn, trained=self.trained)
        self.real = real if self.real is None else self.real.extend(real)
        if self.paired is None:
            if self.gate.outcome is Outcome.INCONCLUSIVE:
                self.gate.update(self._against_floor(real).values)
            return
        null = self.measure.measure_null(self.model, drawn, seed=self.clusters.seed, trained=self.trained)
        self.null = null if self.null is None else self.null.extend(null)
        self.paired.update(real, null, self._against_floor(real))

    def outcomes(self) -> list[Outcome]:
        """Of the claim and of the null input's control."""
        return [self.gate.outcome] if self.paired is None else self.paired.outcomes()

    def null_results(self) -> tuple[ControlResult, ...]:
        """The control by null input, if the measurement has one."""
        return () if self.paired is None else (self.paired.control_result(),)

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """Scores on the prompts and on their null inputs, over all clusters that were run."""
        return tuple(measured for measured in (self.real, self.null) if measured is not None)

    def compare_with_twins(self, n: int | None, scheme: str, levels: ErrorLevels) -> ControlResult:
        """Model and twins on the same first clusters, however many the gates took."""
        own = self.measured[0]
        own = own.head(min(DEFAULTS.twin_clusters, own.n))
        clusters, seed = self.clusters.take(0, own.n), self.clusters.seed

        def score(twin: Model) -> TwinScore:
            return TwinScore.of(self.measure.measure(twin, clusters, trained=self.measure.trained(twin, seed)))

        def each(k: int) -> None:
            report(f"{self.measure.name} (random-weights twin {k})", self.model.id, own.n, own.n)

        return random_weights(
            self.model,
            TwinScore.of(own),
            score,
            scheme=scheme,
            n=n,
            seed=seed,
            level=levels.control,
            fail_level=levels.control_fail,
            each=each,
        )

    def details(self) -> dict[str, Any]:
        """Means over all clusters that were run (also those after the gates' stop)."""
        means = {"score": self.measured[0].estimate}
        shown = f"{means['score']:.3f} {self.measure.unit}"
        if self.null is not None:
            means["null"] = self.null.estimate
            shown += f", {means['null']:.3f} on the null input"
        n = self.measured[0].n
        size = self.clusters.size
        prompts = f"an endless stream, seed {self.clusters.seed}" if size is None else f"a list of {size}"
        return {**means, "clusters_measured": n, "profile": {"mean": f"{shown}, over {n} clusters", "prompts": prompts}}

    def _against_floor(self, real: Measurement) -> Measurement:
        """What is held against the floor: the scores, or where they have no bounds whether each lies beyond it."""
        if self.measure.bounded or self.asked.floor is None:
            return real
        beyond: np.ndarray = real.values > self.asked.floor
        if self.measure.direction == "lower":
            beyond = real.values < self.asked.floor
        return replace(real, values=beyond.astype(np.float64), lo=0.0, hi=1.0, unit="share", direction="higher")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
