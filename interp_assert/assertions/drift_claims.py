"""Which claims that hold of the base no longer hold of the model: induction on the same random sequences, and answers
to the same facts, compared in pairs.

How much was lost is decided exactly: base - model accuracy by sequence, in [-1, 1], and by entity the share of the
facts answered by the base that the model no longer answers. A claim that the base itself does not meet cannot be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..controls import PairedControl, TwinScore, shuffled
from ..errors import ContextTooShort
from ..measures import measure_repeated_accuracy, top_answers
from ..measures.induction import check_fits
from ..prompts import (
    Fact,
    PoolTooSmall,
    RepeatedTokens,
    RepeatedTokenStream,
    Statement,
    resolve_facts,
    resolve_statements,
    token_pool,
)
from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate
from .drift_kinds import LIMITS
from .drift_limit import Gated
from .induction import DEFAULTS as INDUCTION
from .lens_crossover import DEFAULTS as LENS
from .reasons import sees_the_future

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["REPORTED", "KeptClaim", "claims_of"]

REPORTED = 32
"""sequences that are enough to say whether a model does induction, where no limit asks for more"""
SHOWN = 10
"""changed answers that are named"""


def claims_of(
    model: Model, base: Model, limit: float, levels: ErrorLevels, seed: int, facts: Sequence[Statement] | None
) -> list[KeptClaim]:
    """The claims that can be compared, whatever the tokenizers: each is put into the tokens of its own model."""
    return [
        _KeptInduction(model, base, limit, levels, seed),
        _KeptAnswers(model, base, limit, levels, seed, facts),
    ]


class KeptClaim(Gated):
    """One claim that the base meets and the model has to keep, as it is being decided.

    ``missing`` says why it cannot be lost or compared; such a claim is reported, not counted.
    """

    needs_text = False
    name: str

    def __init__(self, model: Model, base: Model, limit: float, levels: ErrorLevels) -> None:
        super().__init__(LIMITS["claims_lost"], limit, levels)
        self.model, self.base = model, base
        self.missing = ""
        self.gate: SequentialGate | None = None

    @property
    def reached(self) -> Outcome:
        if self.missing or self.gate is None:
            return Outcome.NOT_APPLICABLE
        return self.gate.outcome

    def draw(self, start: int, count: int) -> None:
        """Let both models do further clusters."""

    def conclude(self) -> None:
        """Leave the claim out if the base was not shown to meet it."""

    @property
    def drawn(self) -> int:
        """Clusters drawn so far."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """Whether further clusters can change nothing."""
        return self.outcome is not Outcome.INCONCLUSIVE

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        if self.missing or self.gate is None or not self.gate.n:
            return None, None, 0
        return self.gate.estimate, self.gate.interval, self.gate.n

    def needed(self) -> int | None:
        return None if self.gate is None else self.gate.needed()

    def result(self) -> ControlResult:
        estimate, interval, n = self.figures()
        details = {"limit": self.kind.name, "claim": self.name, "direction": "lower", "needed": self.needed()}
        note = self.missing or self.report()["told"]
        return ControlResult(
            f"{self.name} lost", self.outcome, estimate, interval, self.limit, n, False, True, note, details
        )

    def report(self) -> dict[str, Any]:
        """What it was under the base and is under the model, as builtins: ``flipped`` and a sentence ``told``."""
        raise NotImplementedError

    def own_score(self) -> TwinScore:
        """The model's score, to be compared with that of its random-weight twins."""
        raise NotImplementedError

    def twin_score(self, twin: Model) -> TwinScore:
        """The same of a twin, on the same clusters."""
        raise NotImplementedError


class _KeptInduction(KeptClaim):
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
            self.missing = f"the base does not do it: repeated - shuffled {held.estimate:.3f} ({held.outcome})"

    def report(self) -> dict[str, Any]:
        if self.scores is None:
            return {"claim": self.name, "flipped": False, "told": f"not compared: {self.missing}"}
        mine, theirs = (float(accuracy.estimate) for accuracy in self.scores)
        held, holds = (self.has[i].gate.outcome for i in (1, 0))
        lost = self.gate is not None and self.gate.outcome is Outcome.FAIL
        # not merely no longer shown: that may be for want of clusters
        flipped = held is Outcome.PASS and (holds is Outcome.FAIL or (lost and holds is not Outcome.PASS))
        told = f"accuracy {theirs:.3f} -> {mine:.3f}, claim {held} -> {holds}"
        return {
            "claim": self.name,
            "flipped": flipped,
            "told": told + (": FLIPPED" if flipped else ""),
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


class _KeptAnswers(KeptClaim):
    name = "facts"

    def __init__(
        self,
        model: Model,
        base: Model,
        limit: float,
        levels: ErrorLevels,
        seed: int,
        facts: Sequence[Statement] | None,
    ) -> None:
        super().__init__(model, base, limit, levels)
        self.asked: tuple[list[Fact], list[Fact]] = ([], [])
        self.answers = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        self.lost: Measurement | None = None
        bare = next((each.id for each in (model, base) if each.tokenizer is None), None)
        if bare is not None:
            self.missing = f"{bare} has no tokenizer, so facts cannot be put into its tokens"
            return
        found = [
            resolve_facts(each, seed=seed) if facts is None else resolve_statements(each, facts, seed=seed)
            for each in (model, base)
        ]
        keys = [{(f.cluster, f.template, f.prompt): f for f in each.facts} for each in found]
        shared = [key for key in keys[1] if key in keys[0]]  # in the seeded order of entities
        self.asked = ([keys[0][key] for key in shared], [keys[1][key] for key in shared])
        self.answers = (top_answers(model, self.asked[0]), top_answers(base, self.asked[1]))
        mine, theirs = (
            np.array([a == f.target_id for a, f in zip(answers, asked, strict=True)], dtype=bool)
            for answers, asked in zip(self.answers, self.asked, strict=True)
        )
        self.answered = (mine, theirs)
        entities = list(dict.fromkeys(f.cluster for f, right in zip(self.asked[1], theirs, strict=True) if right))
        if len(entities) < LENS.least_answered:
            self.missing = (
                f"the base answers a fact about {len(entities)} entities, at least {LENS.least_answered} are needed"
            )
            return
        self.lost = self._lost(mine, entities)
        self.gate = SequentialGate(limit, levels=levels, population=len(entities), direction="lower")
        self.gate.update(self.lost.values)

    @property
    def drawn(self) -> int:
        return 0 if self.lost is None else self.lost.n

    def report(self) -> dict[str, Any]:
        if self.lost is None:
            return {"claim": self.name, "flipped": False, "told": f"not compared: {self.missing}"}
        mine, theirs = self.answered
        changed = [i for i in range(len(mine)) if theirs[i] and not mine[i]]
        flipped = self.gate is not None and self.gate.outcome is Outcome.FAIL
        told = (
            f"{int(theirs.sum())} answered by the base, {len(changed)} of them lost, {int((mine & ~theirs).sum())} won"
        )
        return {
            "claim": self.name,
            "flipped": flipped,
            "told": told + (": FLIPPED" if flipped else ""),
            "base": float(theirs.mean()),
            "model": float(mine.mean()),
            "facts": len(mine),
            "lost": len(changed),
            "changed": [self._change(i) for i in changed[:SHOWN]],
        }

    def _change(self, i: int) -> dict[str, str]:
        fact = self.asked[1][i]
        now = int(self.answers[0][i])
        tokenizer: Any = self.model.tokenizer
        said = "nothing (a tie)" if now < 0 else tokenizer.decode([now]).strip()
        return {"prompt": fact.prompt, "base": fact.target, "model": said}

    def own_score(self) -> TwinScore:
        assert self.lost is not None
        return TwinScore.of(self.lost)

    def twin_score(self, twin: Model) -> TwinScore:
        assert self.lost is not None
        right = top_answers(twin, self.asked[0]) == np.array([fact.target_id for fact in self.asked[0]])
        return TwinScore.of(self._lost(right, self.lost.clusters))

    def _lost(self, right: NDArray[np.bool_], entities: Sequence[str]) -> Measurement:
        """By entity, the share of the facts answered by the base that ``right`` (fact,) does not answer."""
        of = np.array([fact.cluster for fact in self.asked[1]])
        shares = [float((~right)[self.answered[1] & (of == entity)].mean()) for entity in entities]
        return Measurement("drift/answers_lost", 1, tuple(entities), np.array(shares), 0, 1, "share of facts", "lower")


def _stream(model: Model, seed: int) -> RepeatedTokenStream:
    pool = token_pool(model)
    check_fits(model, INDUCTION.n, 0 if pool.bos is None else 1)
    return RepeatedTokenStream(pool, INDUCTION.n, seed)
