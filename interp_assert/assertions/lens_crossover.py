"""``assert_lens_crossover``: the answers to facts can be read off the residual stream from a given block on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ..controls import TwinScore, decoy_targets, random_weights, shuffled_targets
from ..errors import UsageProblem
from ..measures import LensScores, measure_logit_lens, sustained_crossover
from ..measures.lens import VERSION, why_no_lens
from ..prompts import Fact, ResolvedFacts, Statement, resolve_facts, resolve_statements
from ..stats import Budget, ControlResult, ErrorLevels, Measurement, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .engine import halvings
from .judging import judged
from .lens_report import count_details, lens_details, text_kl
from .paired_claim import PairedClaim
from .progress import report
from .reasons import changed_settings, not_applicable, reproduce, sees_the_future
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "LensDefaults", "assert_lens_crossover"]

CHECK = "lens/crossover"


@dataclass(frozen=True)
class LensDefaults:
    """What ``assert_lens_crossover`` claims and compares with if nothing else is said."""

    floor: float = 0.5
    """share of the answered facts that must have crossed over for good"""
    depth: float = 0.75
    """by block ceil(depth * blocks), counted from 1"""
    least_answered: int = 20
    """entities of which the model must answer a fact itself; with fewer the claim is not applicable"""
    margin: float = 0.05
    """by which the share must exceed that of crossovers to another entity's answer"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = LensDefaults()


@asserted
def assert_lens_crossover(
    model: Model,
    *,
    floor: float = DEFAULTS.floor,
    block: int | None = None,
    facts: ResolvedFacts | Sequence[Fact] | Sequence[Statement] | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that at least ``floor`` of the facts which the model itself answers are at the top of the logit lens for
    good by ``block`` (counted from 1; three quarters of the depth, rounded up, by default).

    The unit is the entity (a country): its score is the share of its answered facts whose sustained crossover is at
    most ``block``. Entities are a finite list, drawn in a seeded order without replacement, and the claim is about
    that list: a list drawn to its end is always decided. ``facts`` are the shipped ones by default; Statements are
    resolved in context. Of a list longer than the ``budget`` the first entities in the seeded order are the list.

    Required controls: the same prompts asked for another entity's answer (true - shuffled > 0.05), and random-weights
    ``twins``, measured on the same answered facts (approximate; a single twin is advisory). Details hold the lens by
    block, first hits, counts, and the KL to the final distribution on text sampled from the model itself, which is
    reported also when the claim is not applicable.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable if the model has no
    tokenizer, no readable lens, or answers fewer than 20 entities, with the counts; UsageProblem for impossible
    arguments.
    """
    model = model_of(model)
    floor, levels, seed, twins = share_of("floor", floor), levels_of(levels), seed_of(seed), twins_of(twins)
    allowed = budget_of(budget)
    with model.metered() as span, halvings() as halved:
        n_blocks = int(model.anatomy.n_blocks)
        block = _block_of(block, n_blocks)
        layer = f"block {block} of {n_blocks}"
        claim = (
            f"of the facts that the model answers, at least {floor:g} stand for good at the top of the logit lens "
            f"by {layer}"
        )
        details: dict[str, Any] = {"quantity": "crossover share", "block": block, "n_blocks": n_blocks, "seed": seed}
        if model.identity.kind != "module":
            changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
            details["reproduce"] = reproduce(
                "assert_lens_crossover", model.id, floor=floor, block=block, seed=seed, **changed
            )
        no_lens = why_no_lens(model) or sees_the_future(model)
        if no_lens is not None:
            return conclude(not_applicable(CHECK, model, layer, claim, no_lens, levels, details, span.cost))
        report(CHECK, model.id, 0, allowed.clusters)
        details |= text_kl(model, seed)
        run = None
        reason = "it has no tokenizer, so facts cannot be put into its tokens"
        if model.tokenizer is not None or not (facts is None or _are_statements(facts)):
            listed = listed_facts(model, facts, seed, allowed.clusters)
            reason = f"no fact could be put into its tokens ({listed.note})"
            if listed.facts:
                run = _Run(model, listed, block, floor, levels, seed)
                details |= run.details()
                reason = run.too_few()
            details |= count_details(listed)
        if run is None or reason:
            details |= {"batch_halvings": halved}
            return conclude(not_applicable(CHECK, model, layer, claim, reason, levels, details, span.cost))
        run.decide()
        twin_control = run.compare_with_twins(twins, scheme, seed, levels)
    return conclude(
        judged(
            CHECK,
            model,
            run.claim.gate,
            (run.claim.control_result(), twin_control),
            claim=claim,
            levels=levels,
            details=details | {"batch_halvings": halved},
            cost=span.cost,
            layer=layer,
            measurements=(run.share, run.decoy_share),
        )
    )


class _Run:
    """The lens on every fact of the list, pooled by entity over the facts that the model answers."""

    def __init__(
        self, model: Model, listed: ResolvedFacts, block: int, floor: float, levels: ErrorLevels, seed: int
    ) -> None:
        self.model = model
        self.block = block
        self.scores = measure_logit_lens(model, listed, decoys=decoy_targets(listed.facts, seed))
        self.kept = [i for i, answered in enumerate(self.scores.answered) if answered]
        self.entities = tuple(dict.fromkeys(listed.facts[i].cluster for i in self.kept))
        if self.too_few():
            return
        self.share = pooled_by_entity("lens/crossover", listed.facts, self.kept, crossed_by(self.scores, block))
        self.decoy_share = pooled_by_entity(
            "lens/crossover to a decoy", listed.facts, self.kept, decoys_crossed_by(self.scores, block)
        )
        compared = shuffled_targets(DEFAULTS.margin, levels, population=len(self.entities))
        self.claim = PairedClaim(compared, floor, levels)

    def too_few(self) -> str:
        """Why the claim cannot be judged, with the counts; empty if it can."""
        if len(self.entities) >= DEFAULTS.least_answered:
            return ""
        return (
            f"it answers facts of {len(self.entities)} entities, at least {DEFAULTS.least_answered} are needed "
            f"({len(self.kept)} of {len(self.scores.facts)} facts answered)"
        )

    def decide(self) -> None:
        """Feed the gates in the seeded order; each looks after every entity and stops where it decides."""
        self.claim.update(self.share, self.decoy_share)
        report(CHECK, self.model.id, self.claim.gate.n, len(self.entities))

    def compare_with_twins(self, n: int | None, scheme: str, seed: int, levels: ErrorLevels) -> ControlResult:
        """Crossovers of model and twins on all answered facts, wherever the gates stopped."""
        facts = [self.scores.facts[i] for i in self.kept]

        def twin_share(twin: Model) -> TwinScore:
            crossed = crossed_by(measure_logit_lens(twin, facts), self.block)
            return _share(facts, crossed)

        def each(k: int) -> None:
            report(f"{CHECK} (random-weights twin {k})", self.model.id, len(self.entities), len(self.entities))

        own = _share(facts, crossed_by(self.scores, self.block)[self.kept])
        level, fail_level = levels.control, levels.control_fail
        return random_weights(
            self.model, own, twin_share, scheme=scheme, n=n, seed=seed, level=level, fail_level=fail_level, each=each
        )

    def details(self) -> dict[str, Any]:
        """The lens by block over the answered facts, or over all facts where too few are answered."""
        return lens_details(self.scores, self.kept, len(self.entities), all_facts=bool(self.too_few()))


def pooled_by_entity(name: str, facts: Sequence[Fact], kept: Sequence[int], crossed: np.ndarray) -> Measurement:
    """The share of each entity's ``kept`` facts that have crossed over, entities in the order of the facts."""
    entities = tuple(dict.fromkeys(facts[i].cluster for i in kept))
    values = [float(np.mean([crossed[i] for i in kept if facts[i].cluster == entity])) for entity in entities]
    return Measurement(name, VERSION, entities, np.array(values), 0, 1, "share of facts", "higher")


def crossed_by(scores: LensScores, block: int) -> np.ndarray:
    """(fact,) whether the target's sustained crossover is at most ``block``."""
    return np.array([at is not None and at <= block for at in scores.crossover])


def decoys_crossed_by(scores: LensScores, block: int) -> np.ndarray:
    """(fact,) the same for the decoy target."""
    if scores.decoy_rank is None:
        raise UsageProblem("these lens scores were measured without decoy targets")
    found = [sustained_crossover(ranks) for ranks in scores.decoy_rank]
    return np.array([at is not None and at <= block for at in found])


def _share(facts: Sequence[Fact], crossed: np.ndarray) -> TwinScore:
    entities = list(dict.fromkeys(fact.cluster for fact in facts))
    place = np.array([entities.index(fact.cluster) for fact in facts])
    by_entity = np.array([crossed[place == i].mean() for i in range(len(entities))])
    return TwinScore.proportion(float(crossed.sum()), len(crossed), by_entity)


def _block_of(block: int | None, n_blocks: int) -> int:
    if block is None:
        return ceil(DEFAULTS.depth * n_blocks)
    if isinstance(block, bool) or not isinstance(block, int) or not 1 <= block <= n_blocks:
        raise UsageProblem(f"block={block!r} must be a whole number from 1 to {n_blocks}, the blocks of this model")
    return block


def _are_statements(facts: ResolvedFacts | Sequence[Fact] | Sequence[Statement]) -> bool:
    return not isinstance(facts, ResolvedFacts) and any(isinstance(item, Statement) for item in facts)


def listed_facts(
    model: Model, facts: ResolvedFacts | Sequence[Fact] | Sequence[Statement] | None, seed: int, at_most: int
) -> ResolvedFacts:
    """The list that the claim is about: resolved, entities in the seeded order, no more of them than the budget."""
    if facts is None:
        resolved = resolve_facts(model, seed=seed)
    elif isinstance(facts, ResolvedFacts):
        resolved = facts
    elif _are_statements(facts):
        resolved = resolve_statements(model, [item for item in facts if isinstance(item, Statement)], seed=seed)
    else:
        resolved = ResolvedFacts(
            tuple(item for item in facts if isinstance(item, Fact)), {}, f"{len(facts)} facts given"
        )
    names = sorted(resolved.clusters)
    order = np.argsort(np.random.default_rng([seed, 0x1E45]).random(len(names)), kind="stable")
    rank = {names[int(i)]: place for place, i in enumerate(order[:at_most])}
    chosen = sorted((f for f in resolved.facts if f.cluster in rank), key=lambda f: rank[f.cluster])
    note = resolved.note
    if len(names) > at_most:
        note += f"; the budget allows the first {at_most} of {len(names)} entities in the order of seed {seed}"
    return ResolvedFacts(tuple(chosen), resolved.dropped, note)
