"""Facts that the base answers and the model may no longer: by entity, the share of them that is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...controls import TwinScore
from ...measures import top_answers
from ...prompts import Fact, Statement, resolve_facts, resolve_statements
from ...stats import ErrorLevels, Measurement, Outcome, SequentialGate
from ..lens_crossover import DEFAULTS as LENS
from .kept import KeptClaim

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["KeptAnswers"]

SHOWN = 10
"""changed answers that are named"""


class KeptAnswers(KeptClaim):
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
                f"the base answers facts about {len(entities)} entities, at least {LENS.least_answered} are needed; "
                f"{len(shared)} facts can be asked of both, {len(keys[1])} of the base"
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
            return self.not_compared()
        mine, theirs = self.answered
        changed = [i for i in range(len(mine)) if theirs[i] and not mine[i]]
        flipped = self.gate is not None and self.gate.outcome is Outcome.FAIL
        told = (
            f"{int(theirs.sum())} answered by the base, {len(changed)} of them lost, {int((mine & ~theirs).sum())} won"
        )
        return {
            "claim": self.name,
            "flipped": flipped,
            "change": f"{len(changed)} of {int(theirs.sum())} answers lost",
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
