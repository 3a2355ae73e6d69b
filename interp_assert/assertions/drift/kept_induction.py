"""Induction that the base does and the model may have lost: base - model accuracy on the same random sequences, in
[-1, 1], where their tokens are the same; else on sequences of each model's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...controls import PairedControl, TwinScore, shuffled
from ...errors import ContextTooShort
from ...measures import measure_repeated_accuracy
from ...measures.induction import check_fits
from ...prompts import PoolTooSmall, RepeatedTokens, RepeatedTokenStream, token_pool
from ...stats import ErrorLevels, Measurement, Outcome, SequentialGate
from ..induction import DEFAULTS as INDUCTION
from ..reasons import sees_the_future
from .kept import REPORTED, KeptClaim

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["KeptInduction"]


class KeptInduction(KeptClaim):
    name = "circuits/induction"

    def __init__(self, model: Model, base: Model, limit: float, levels: ErrorLevels, seed: int) -> None:
        super().__init__(model, base, limit, levels)
        self.scores: tuple[Measurement, Measurement] | None = None
        self.has: tuple[PairedControl, PairedControl] = (
            shuffled(INDUCTION.margin, levels),
            shuffled(INDUCTION.margin, levels),
        )
        try:
            self.streams = tuple(_stream(each, seed) for each in (model, base))
        except (ContextTooShort, PoolTooSmall) as problem:
            self.missing = str(problem)
            return
        self.missing = next((f"{m.id}: {why}" for m in (model, base) if (why := sees_the_future(m))), "")
        self.gate = SequentialGate(limit, lo=-1.0, hi=1.0, levels=levels, direction="lower")

    @property
    def drawn(self) -> int:
        return 0 if self.scores is None else self.scores[0].n

    @property
    def settled(self) -> bool:
        # a base that has been shown not to do it leaves nothing to lose
        held = self.has[1].gate.outcome
        return bool(self.missing) or held is Outcome.FAIL or (super().settled and held is Outcome.PASS)

    def least(self) -> int | None:
        return None if self.gate is None else self.gate.least(0.0)

    def draw(self, start: int, count: int) -> None:
        if self.gate is None or self.missing:
            return
        clusters = [self._clusters(i, start, count) for i in (0, 1)]
        pair = tuple(zip((self.model, self.base), clusters, strict=True))
        mine, theirs = (measure_repeated_accuracy(each, some) for each, some in pair)
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            self.gate.update(theirs.values - mine.values)
        for (each, some), has, accuracy in zip(pair, self.has, (mine, theirs), strict=True):
            if has.gate.outcome is Outcome.INCONCLUSIVE:
                has.update(accuracy, measure_repeated_accuracy(each, some, second="shuffled"))
        self.scores = (
            (mine, theirs) if self.scores is None else (self.scores[0].extend(mine), self.scores[1].extend(theirs))
        )

    def conclude(self) -> None:
        held = self.has[1].gate
        if not self.missing and held.outcome is not Outcome.PASS:
            self.missing = (
                f"the base does not do it: repeated - shuffled {held.estimate:.3f} is not shown to be above "
                f"{INDUCTION.margin:g} ({held.outcome})"
            )

    def report(self) -> dict[str, Any]:
        if self.scores is None:
            return self.not_compared()
        mine, theirs = (float(accuracy.estimate) for accuracy in self.scores)
        held, holds = (self.has[i].gate.outcome for i in (1, 0))
        lost = self.gate is not None and self.gate.outcome is Outcome.FAIL
        # not merely no longer shown: that may be for want of clusters
        flipped = held is Outcome.PASS and (holds is Outcome.FAIL or (lost and holds is not Outcome.PASS))
        change = f"accuracy {theirs:.3f} -> {mine:.3f}"
        now = "no longer shown" if flipped and holds is Outcome.INCONCLUSIVE else holds
        return {
            "claim": self.name,
            "flipped": flipped,
            "change": change,
            "told": f"{change}, claim {held} -> {now}" + (": FLIPPED" if flipped else ""),
            "base": theirs,
            "model": mine,
            "base_verdict": held.value,
            "model_verdict": holds.value,
            "clusters": self.drawn,
        }

    def own_score(self) -> TwinScore:
        assert self.scores is not None
        return TwinScore.of(self.scores[0].head(min(self.drawn, REPORTED)))

    def twin_score(self, twin: Model) -> TwinScore:
        return TwinScore.of(measure_repeated_accuracy(twin, self._clusters(0, 0, min(self.drawn, REPORTED))))

    def _clusters(self, which: int, start: int, count: int) -> list[RepeatedTokens]:
        return self.streams[which].take(start, count)


def _stream(model: Model, seed: int) -> RepeatedTokenStream:
    pool = token_pool(model)
    check_fits(model, INDUCTION.n, 0 if pool.bos is None else 1)
    return RepeatedTokenStream(pool, INDUCTION.n, seed)
