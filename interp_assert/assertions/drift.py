"""``assert_drift_below``: a model has not moved farther from its base than the limits allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..controls import TwinScore, random_weights
from ..errors import UsageProblem
from ..measures import DriftScores, measure_drift, measure_weight_drift
from ..measures.drift import metered_together
from ..prompts import Statement
from ..stats import Budget, ControlResult, ErrorLevels, Measurement, Outcome, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, twins_of
from .drift_claims import REPORTED, KeptClaim, claims_of
from .drift_kinds import KINDS, LIMITS, checked_limits
from .drift_limits import Gated, gated
from .drift_readings import FIRST, Readings, readings_of
from .drift_report import base_facts, below_the_floor, drift_details
from .drift_verdict import drift_verdict
from .engine import draw_until_decided, halvings
from .progress import report
from .reasons import changed_settings
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "DriftDefaults", "assert_drift_below"]

CHECK = "drift"


@dataclass(frozen=True)
class DriftDefaults:
    """What ``assert_drift_below`` claims and compares with if nothing else is said."""

    claims_lost: float = 0.05
    """the limit where no limit is given: how much of what the base can do the model may have lost"""
    length: int = 64
    """tokens of a document sampled from the base, at most"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = DriftDefaults()


def assert_drift_below(
    model: Model,
    base: Model,
    *,
    total_variation: float | None = None,
    agreement: float | None = None,
    kl: float | None = None,
    residual: float | None = None,
    cosine: float | None = None,
    cka: float | None = None,
    weights: float | None = None,
    claims_lost: float | None = None,
    texts: Sequence[str] | Sequence[Sequence[int]] | None = None,
    length: int = DEFAULTS.length,
    facts: Sequence[Statement] | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that ``model`` has drifted from ``base`` by less than every limit that is given.

    Limits on the output, means over documents of the mean over positions: ``total_variation`` (upper) and ``agreement``
    of the top tokens (lower limit), both decided exactly, and ``kl`` = KL(base || model) in nats. Limits on the
    residual stream, which must hold at the embedding and after every block: ``residual`` = E||x' - x|| / E||x||,
    ``cosine`` and debiased linear ``cka`` (lower limits). ``kl`` and the residual limits are decided by t-tests after
    64, 128, 256 and 512 documents, and marked approximate. ``weights``: relative Frobenius distance of every block and
    of the rest. ``claims_lost``: how much lower than the base the model may be in induction accuracy, and how large a
    share of the facts that the base answers (``facts``, the shipped ones by default) it may no longer answer; exact.
    Without any limit that one is 0.05: there is no default for the others, beside which the noise floor is reported,
    the drift of the base from itself after its weights went through bfloat16 and back.

    Documents are sampled from the base (``length`` tokens at most), or are the ``texts``, a finite list drawn in a
    seeded order; both models read the same ids. The first position and special tokens do not count.

    A required control: the model's random-weights ``twins`` must be farther from the base than the model, in the first
    of output, residual stream, weights and claims that a limit was given for (approximate, on the first 64 documents),
    so that a limit cannot be met because nothing was seen. Details tell what moved, by block, which heads and neurons
    moved most, and which claims flipped.

    The verdict's check is ``drift/output``, ``drift/residual``, ``drift/weights`` or ``drift/claims`` if all limits are
    of that kind, else ``drift/limits``; its estimate is that of the first limit that failed, else of the first that is
    undecided, else of the first; the others stand among the controls.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable with the reason if
    a limit speaks of what cannot be compared (another width, depth, tokenizer; a base that cannot write and no texts);
    UsageProblem for impossible limits or texts; ContextTooShort; NonFiniteMeasurement.
    """
    model, base = model_of(model), model_of(base)
    limits = checked_limits(
        total_variation=total_variation,
        agreement=agreement,
        kl=kl,
        residual=residual,
        cosine=cosine,
        cka=cka,
        weights=weights,
        claims_lost=claims_lost,
    ) or {"claims_lost": DEFAULTS.claims_lost}
    levels, seed, twins, allowed = levels_of(levels), seed_of(seed), twins_of(twins), budget_of(budget)
    if isinstance(length, bool) or not isinstance(length, int) or length < 8:
        raise UsageProblem(f"length={length!r} must be a whole number of at least 8 tokens")
    kinds = [kind for kind in KINDS if any(LIMITS[name].part == kind for name in limits)]
    check = f"{CHECK}/{kinds[0] if len(kinds) == 1 else 'limits'}"
    details: dict[str, Any] = {"base": base_facts(base), "limits": limits, "seed": seed}
    if model.identity.kind != "module" and base.identity.kind != "module" and texts is None and facts is None:
        changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
        details["reproduce"] = _reproduce(model, base, limits | {"length": length, "seed": seed} | changed)
    with metered_together(model, base) as spent, halvings() as halved:
        report(check, model.id, 0, allowed.clusters)
        readings = readings_of(model, base, texts, length, seed)
        run = _Run(model, base, readings, limits, levels, seed, facts)
        run.decide(check, allowed.clusters)
        twin_control = run.compare_with_twins(kinds, twins, scheme, seed, levels.control)
        details |= run.details() | {"batch_halvings": halved}
    return conclude(
        drift_verdict(
            check,
            model,
            base,
            limits,
            run.judged,
            twin_control,
            measurements=() if run.scores is None else run.scores.measurements,
            details=details,
            levels=levels,
            cost=spent(),
        )
    )


class _Run:
    """The limits on one pair of models, and what feeds them."""

    def __init__(
        self,
        model: Model,
        base: Model,
        readings: Readings,
        limits: dict[str, float],
        levels: ErrorLevels,
        seed: int,
        facts: Sequence[Statement] | None,
    ) -> None:
        self.model, self.base, self.readings = model, base, readings
        self.limits = limits
        self.scores: DriftScores | None = None
        if readings.missing is None:
            self.scores = readings.upto(model, base, FIRST)
        self.weights = readings.weight_drift(model, base)
        no_residual = None if self.scores is None else self.scores.no_residual
        self.gated = gated(
            limits,
            levels,
            population=readings.population,
            no_text=readings.missing,
            no_residual=no_residual,
            entries=base.anatomy.n_blocks + 1,
            weights=self.weights,
        )
        allowed_loss = limits.get("claims_lost", DEFAULTS.claims_lost)
        self.claims: list[KeptClaim] = []
        self.told: list[dict[str, Any]] = []
        key = (levels, None if facts is None else tuple(facts), seed)
        if "claims_lost" in limits or key not in readings.claims:
            self.claims = claims_of(model, base, allowed_loss, levels, seed, facts)
        else:
            self.told = readings.claims[key]
        self.key = key

    def decide(self, check: str, at_most: int) -> None:
        """Draw documents and clusters of prompts until every limit is decided, one has failed or all are spent."""
        self._certain()
        on_text = [limit for limit in self.gated if limit.needs_text]
        if on_text:
            population = self.readings.population
            draw_until_decided(
                check,
                self.model.id,
                first=FIRST,
                at_most=at_most if population is None else min(at_most, population),
                draw=lambda start, count: self._feed(on_text, start, count),
                outcomes=lambda: [limit.outcome for limit in on_text],
            )
        asked = "claims_lost" in self.limits
        for claim in self.claims:
            draw_until_decided(
                check,
                self.model.id,
                first=FIRST if asked else REPORTED,
                at_most=at_most if asked else REPORTED,
                draw=claim.draw,
                outcomes=lambda claim=claim: [Outcome.FAIL if claim.settled else Outcome.INCONCLUSIVE],  # type: ignore[misc]
            )
            claim.conclude()
        if self.claims:
            self.told = self.readings.claims[self.key] = [claim.report() for claim in self.claims]

    def _feed(self, on_text: Sequence[Gated], start: int, count: int) -> None:
        self.scores = self.readings.upto(self.model, self.base, start + count)
        more = self.scores.part(start, start + count)
        for limit in on_text:
            limit.update(more)
        self._certain()

    def _certain(self) -> None:
        """Equal weights that never gave a different bit are no sample: what holds of them holds for certain."""
        if isinstance(self.weights, str) or self.weights.whole != 0.0 or self.scores is None or not self.scores.same:
            return
        for limit in (*self.gated, *self.claims):
            limit.certain = f"all weights are equal, and not one bit differed on {self.scores.n} documents"

    @property
    def judged(self) -> list[Gated]:
        """Every limit that counts: claims that cannot be lost or compared do not, unless none is left."""
        if "claims_lost" not in self.limits:
            return self.gated
        kept = [claim for claim in self.claims if not claim.missing]
        return [*self.gated, *(kept or self.claims)]

    def compare_with_twins(
        self, kinds: Sequence[str], n: int | None, scheme: str, seed: int, level: float
    ) -> ControlResult | None:
        """Whether the model is nearer to its base than twins are, in the first kind that a limit was given for."""
        compared = next((pair for kind in kinds if (pair := self._twin_measure(kind)) is not None), None)
        if compared is None:
            return None
        own, measure = compared
        return random_weights(self.model, own, measure, scheme=scheme, n=n, seed=seed, level=level)

    def _twin_measure(self, kind: str) -> tuple[TwinScore, Any] | None:
        if kind == "weights":
            if isinstance(self.weights, str):
                return None
            distance = TwinScore.identity(self.weights.whole, lower=True)
            return distance, lambda twin: TwinScore.identity(measure_weight_drift(twin, self.base).whole, lower=True)
        if kind == "claims":
            claim = next((claim for claim in self.claims if not claim.missing), None)
            return None if claim is None else (claim.own_score(), claim.twin_score)
        if self.scores is None:
            return None
        first = self.scores.head(min(FIRST, self.scores.n))
        documents = self.readings.first()
        if kind == "output":
            own = TwinScore.of(first.total_variation)
            return own, lambda twin: TwinScore.of(
                measure_drift(twin, self.base, documents, residual=False).total_variation
            )
        if first.residual is None:
            return None
        entry = int(np.nanargmin(first.residual.cosine.mean(0)))
        return _cosines(first, entry), lambda twin: _cosines(measure_drift(twin, self.base, documents), entry)

    def details(self) -> dict[str, Any]:
        floor = None if self.scores is None else self.readings.noise_floor(self.base)
        found = drift_details(self.scores, floor, self.weights, self.told, self.readings)
        note = None if self.readings.documents is None else self.readings.documents.note
        warned = [text for name, limit in self.limits.items() if (text := below_the_floor(name, limit, floor))]
        found["profile"] |= {"caution": "; ".join(warned)} if warned else {}
        return found | {"texts": note, "cautions": warned}


def _cosines(scores: DriftScores, entry: int) -> TwinScore:
    assert scores.residual is not None
    values = np.clip(scores.residual.cosine[:, entry], -1.0, 1.0)
    names = scores.total_variation.clusters
    return TwinScore.of(Measurement("drift/cosine", 1, names, values, -1, 1, "cosine", "higher"))


def _reproduce(model: Model, base: Model, arguments: dict[str, Any]) -> str:
    given = "".join(f", {name}={value!r}" for name, value in arguments.items() if value is not None)
    return f"assert_drift_below(load({model.id!r}), load({base.id!r}){given})"
