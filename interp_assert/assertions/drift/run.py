"""The limits on one pair of models, and what feeds them: documents, whole texts, prompts, twins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...controls import TwinScore, random_weights
from ...measures import DriftScores, measure_drift, measure_text_drift, measure_weight_drift
from ...prompts import Statement
from ...stats import ControlResult, ErrorLevels, Measurement, Outcome
from ..engine import draw_until_decided
from .gated import Gated
from .gates import gated
from .kept import REPORTED, KeptClaim
from .kept_answers import KeptAnswers
from .kept_induction import KeptInduction
from .readings import FIRST, Readings
from .report import below_the_floor, drift_details

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["CLAIMS_LOST", "DriftRun"]

CLAIMS_LOST = 0.05
"""the limit where no limit is given: how much of what the base can do the model may have lost"""


class DriftRun:
    """Made with the limits, then told to ``decide``; read when that is done."""

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
            no_whole_text=readings.no_whole_text(model, base) if "by_text" in limits else None,
        )
        allowed_loss = limits.get("claims_lost", CLAIMS_LOST)
        self.claims: list[KeptClaim] = []
        self.told: list[dict[str, Any]] = []
        key = (levels, None if facts is None else tuple(facts), seed)
        if "claims_lost" in limits or key not in readings.claims:
            # whatever the tokenizers: each is put into the tokens of its own model
            self.claims = [
                KeptInduction(model, base, allowed_loss, levels, seed),
                KeptAnswers(model, base, allowed_loss, levels, seed, facts),
            ]
        else:
            self.told = readings.claims[key]
        self.key = key

    def decide(self, check: str, at_most: int) -> None:
        """Draw documents and clusters of prompts until every limit is decided, one has failed or all are spent."""
        self._certain()
        on_text = [limit for limit in self.gated if limit.needs_text or limit.whole_texts]
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

    def tell(self, further: Sequence[dict[str, Any]]) -> None:
        """Report more than what was decided; remembered with it."""
        self.told = self.readings.claims[self.key] = [*self.told, *further]

    def _feed(self, on_text: Sequence[Gated], start: int, count: int) -> None:
        end = start + count
        if any(limit.needs_text for limit in on_text):
            self.scores = self.readings.upto(self.model, self.base, end)
            more = self.scores.part(start, end)
            for limit in on_text:
                limit.update(more)
        if any(limit.whole_texts for limit in on_text):
            read = self.readings.texts_upto(self.model, self.base, end)
            assert read is not None, "or the limit would not be applicable"
            for limit in on_text:
                limit.take(read)
        self._certain()

    def _certain(self) -> None:
        """Equal weights that never gave a different bit are no sample: what holds of them holds for certain."""
        if isinstance(self.weights, str) or self.weights.whole != 0.0 or self.scores is None or not self.scores.same:
            return
        for limit in (*self.gated, *self.claims):
            limit.certain = f"all weights are equal, and not one bit differed on {self.scores.n} documents"

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What was measured on documents; on whole texts, where their tokens cannot be compared."""
        if self.scores is not None:
            return self.scores.measurements
        return () if self.readings.by_text is None else (self.readings.by_text.lost,)

    @property
    def judged(self) -> list[Gated]:
        """Every limit that counts: claims that cannot be lost or compared do not, unless none is left."""
        if "claims_lost" not in self.limits:
            return self.gated
        kept = [claim for claim in self.claims if not claim.missing]
        return [*self.gated, *(kept or self.claims)]

    def compare_with_twins(
        self, kinds: Sequence[str], n: int | None, scheme: str, seed: int, levels: ErrorLevels
    ) -> ControlResult | None:
        """Whether the model is nearer to its base than twins are, in the first kind that a limit was given for."""
        compared = next((pair for kind in kinds if (pair := self._twin_measure(kind)) is not None), None)
        if compared is None:
            return None
        own, measure = compared
        level, fail_level = levels.control, levels.control_fail
        return random_weights(
            self.model, own, measure, scheme=scheme, n=n, seed=seed, level=level, fail_level=fail_level
        )

    def _twin_measure(self, kind: str) -> tuple[TwinScore, Any] | None:
        if kind == "weights":
            if isinstance(self.weights, str):
                return None
            distance = TwinScore.identity(self.weights.whole, lower=True)
            return distance, lambda twin: TwinScore.identity(measure_weight_drift(twin, self.base).whole, lower=True)
        if kind == "claims":
            claim = next((claim for claim in self.claims if not claim.missing), None)
            return None if claim is None else (claim.own_score(), claim.twin_score)
        if kind == "text":
            return self._text_measure()
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

    def _text_measure(self) -> tuple[TwinScore, Any] | None:
        """Whole texts, which a twin of the model must predict worse than it does."""
        own = self.readings.by_text
        if own is None:
            return None
        few = min(FIRST, len(own.texts))

        def measure(twin: Model) -> TwinScore:
            read = measure_text_drift(twin, self.base, own.texts[:few])
            assert read is not None, "a twin has the tokenizer of its model"
            return TwinScore.of(read.lost)

        return TwinScore.of(own.lost.head(few)), measure

    def details(self) -> dict[str, Any]:
        floor = None if self.scores is None else self.readings.noise_floor(self.base)
        # not what another claim about this pair has read: a verdict does not depend on what was asked before it
        by_text = self.readings.by_text if "by_text" in self.limits or self.readings.missing is not None else None
        found = drift_details(self.scores, floor, self.weights, self.told, by_text, self.readings.missing)
        note = None if self.readings.documents is None else self.readings.documents.note
        warned = [text for name, limit in self.limits.items() if (text := below_the_floor(name, limit, floor))]
        found["profile"] |= {"caution": "; ".join(warned)} if warned else {}
        return found | {"texts": note, "cautions": warned}


def _cosines(scores: DriftScores, entry: int) -> TwinScore:
    assert scores.residual is not None
    values = np.clip(scores.residual.cosine[:, entry], -1.0, 1.0)
    names = scores.total_variation.clusters
    return TwinScore.of(Measurement("drift/cosine", 1, names, values, -1, 1, "cosine", "higher"))
