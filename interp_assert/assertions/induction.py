"""``assert_induction``: the model continues a random sequence as it went the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..controls import TwinScore, random_weights, shuffled, unrepeated
from ..errors import ContextTooShort
from ..measures import InductionScores, measure_induction, measure_repeated_accuracy
from ..measures.induction import check_fits
from ..prompts import PoolTooSmall, RepeatedTokens, RepeatedTokenStream, token_pool
from ..stats import Budget, ControlResult, ErrorLevels, Measurement, Outcome, Verdict
from .asked import budget_of, copy_length_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .engine import draw_until_decided, halvings
from .induction_report import measured_details
from .judging import judged
from .paired_claim import PairedClaim
from .progress import report
from .reasons import changed_settings, not_applicable, reproduce, sees_the_future
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "InductionDefaults", "assert_induction"]

CHECK = "circuits/induction"


@dataclass(frozen=True)
class InductionDefaults:
    """What ``assert_induction`` claims and compares with if nothing else is said."""

    n: int = 20
    """distinct tokens per copy; the first of the second copy is not scored"""
    margin: float = 0.05
    """by which the accuracy must exceed that on shuffled and on unrepeated rows"""
    first_batch: int = 64
    """clusters run before the gates are first asked; doubled from then on"""
    twin_clusters: int = 64
    """the first clusters, on which model and twins are compared whenever the gates stop"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = InductionDefaults()


@asserted
def assert_induction(
    model: Model,
    *,
    floor: float | None = None,
    margin: float = DEFAULTS.margin,
    n: int = DEFAULTS.n,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that the model does induction on random tokens.

    Without ``floor`` the claim is relative: top-1 accuracy on the second copy exceeds that on a shuffled second copy
    by more than ``margin`` (an order-blind model gains nothing there, though it beats the in-context chance 1 / n).
    With ``floor`` the claim is accuracy > floor. In both cases three controls are required: repeated - shuffled >
    margin, repeated - unrepeated > margin, and the accuracy must be out of reach of random-weights ``twins`` (5 by
    default, 1 and advisory above a billion parameters), model and twins measured on the same first 64 clusters.

    Clusters are drawn until everything is decided, a FAIL is established or the ``budget`` is spent (a Budget, its
    name or a number of clusters; "standard", 512, by default: refuting the default claim takes about 200). The
    verdict depends on the model and the seed only. Error levels: see ``ErrorLevels``; controls have
    ``levels.control`` on both sides, except that without a floor the shuffled control is the claim itself and has the
    claim's levels.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE, NotApplicable if the context is
    too short or the vocabulary too small for n, UsageProblem for impossible arguments.
    """
    model = model_of(model)
    floor = None if floor is None else share_of("floor", floor)
    margin, allowed, levels = share_of("margin", margin), budget_of(budget), levels_of(levels)
    seed, twins, n = seed_of(seed), twins_of(twins), copy_length_of(n)
    claim = _claim(floor, margin, n)
    settings = {"n": n, "seed": seed, "margin": margin, "budget": {"name": allowed.name, "clusters": allowed.clusters}}
    if model.identity.kind != "module":
        changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
        settings["reproduce"] = reproduce(
            "assert_induction", model.id, floor=floor, margin=margin, n=n, seed=seed, **changed
        )
    with model.metered() as span, halvings() as halved:
        try:
            pool = token_pool(model)
            check_fits(model, n, 0 if pool.bos is None else 1)
            stream = RepeatedTokenStream(pool, n, seed)
        except (ContextTooShort, PoolTooSmall) as problem:
            verdict = not_applicable(CHECK, model, None, claim, str(problem), levels, settings, span.cost)
            return conclude(verdict)
        future = sees_the_future(model)
        if future is not None:
            return conclude(not_applicable(CHECK, model, None, claim, future, levels, settings, span.cost))
        run = _Run(model, stream, floor, margin, levels)
        draw_until_decided(
            CHECK,
            model.id,
            first=DEFAULTS.first_batch,
            at_most=allowed.clusters,
            draw=run.draw,
            outcomes=run.outcomes,
        )
        twin_control = run.compare_with_twins(twins, scheme, seed, levels)
    scores = run.measured
    details = (
        settings | measured_details(model, scores, pool, relative=floor is None, seed=seed) | {"batch_halvings": halved}
    )
    return conclude(
        judged(
            CHECK,
            model,
            run.claim.gate,
            (run.claim.control_result(), run.unrepeated.result(), twin_control),
            claim=claim,
            levels=levels,
            details=details,
            cost=span.cost,
            measurements=(scores.accuracy, scores.shuffled, scores.unrepeated, scores.p_target, scores.nll_gain),
        )
    )


class _Run:
    """The clusters measured so far, and the gates that they feed in order."""

    def __init__(
        self, model: Model, stream: RepeatedTokenStream, floor: float | None, margin: float, levels: ErrorLevels
    ) -> None:
        self.model = model
        self.stream = stream
        self.claim = PairedClaim(shuffled(margin, levels), floor, levels)
        self.unrepeated = unrepeated(margin, levels)
        self.scores: InductionScores | None = None

    @property
    def measured(self) -> InductionScores:
        """All clusters that were run, also those after a gate's stop."""
        if self.scores is None:
            raise RuntimeError("nothing has been drawn yet")
        return self.scores

    def draw(self, start: int, count: int) -> None:
        """Run clusters start .. start + count - 1 and feed the gates with them."""
        new = measure_induction(self.model, self.stream.take(start, count), heads=start == 0)
        self.scores = new if self.scores is None else self.scores.extend(new)
        self.claim.update(new.accuracy, new.shuffled)
        self.unrepeated.update(new.accuracy, new.unrepeated)

    def outcomes(self) -> list[Outcome]:
        """Of the claim and of the controls that are decided cluster by cluster."""
        return [*self.claim.outcomes(), self.unrepeated.gate.outcome]

    def compare_with_twins(self, n: int | None, scheme: str, seed: int, levels: ErrorLevels) -> ControlResult:
        """Second-copy accuracy of model and twins on the same first clusters, however many the gates took."""
        own = self.measured.accuracy
        own = own.head(min(DEFAULTS.twin_clusters, own.n))
        clusters = self.stream.take(0, own.n)

        def twin_share(twin: Model) -> TwinScore:
            return _share(measure_repeated_accuracy(twin, clusters), clusters)

        def each(k: int) -> None:
            report(f"{CHECK} (random-weights twin {k})", self.model.id, own.n, own.n)

        own_share = _share(own, clusters)
        level, fail_level = levels.control, levels.control_fail
        return random_weights(
            self.model,
            own_share,
            twin_share,
            scheme=scheme,
            n=n,
            seed=seed,
            level=level,
            fail_level=fail_level,
            each=each,
        )


def _share(accuracy: Measurement, clusters: list[RepeatedTokens]) -> TwinScore:
    trials = (clusters[0].n - 1) * accuracy.n
    return TwinScore.proportion(accuracy.estimate * trials, trials, accuracy.values)


def _claim(floor: float | None, margin: float, n: int) -> str:
    what = f"said twice, {n} random tokens are continued as the first time:"
    if floor is None:
        return (
            f"{what} top-1 accuracy on the second copy exceeds that on a shuffled second copy by more than {margin:g}"
        )
    return f"{what} top-1 accuracy on the second copy is above {floor:g}"
