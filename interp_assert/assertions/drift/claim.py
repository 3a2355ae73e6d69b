"""``assert_drift_below``: a model has not moved farther from its base than the limits allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UsageProblem
from ...measures.drift import metered_together
from ...prompts import LabelledTexts, Statement
from ...stats import Budget, ErrorLevels, Verdict
from ..asked import budget_of, levels_of, model_of, seed_of, twins_of
from ..asserting import asserted
from ..engine import halvings
from ..progress import report
from ..reasons import changed_settings
from ..recording import conclude
from .kept_probes import probed_sets, probes_lost
from .limits import KINDS, LIMITS, checked_limits
from .readings import readings_of
from .report import base_facts
from .run import CLAIMS_LOST, DriftRun
from .verdict import drift_verdict

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["CHECK", "DEFAULTS", "DriftDefaults", "assert_drift_below"]

CHECK = "drift"


@dataclass(frozen=True)
class DriftDefaults:
    """What ``assert_drift_below`` claims and compares with if nothing else is said."""

    claims_lost: float = CLAIMS_LOST
    """the limit where no limit is given: how much of what the base can do the model may have lost"""
    length: int = 64
    """tokens of a document sampled from the base, at most"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = DriftDefaults()


@asserted
def assert_drift_below(
    model: Model,
    base: Model,
    *,
    total_variation: float | None = None,
    agreement: float | None = None,
    kl: float | None = None,
    by_text: float | None = None,
    residual: float | None = None,
    cosine: float | None = None,
    cka: float | None = None,
    weights: float | None = None,
    claims_lost: float | None = None,
    texts: Sequence[str] | Sequence[Sequence[int]] | None = None,
    length: int = DEFAULTS.length,
    facts: Sequence[Statement] | None = None,
    probes: Sequence[LabelledTexts | str] | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that ``model`` has drifted from ``base`` by less than every limit that is given.

    Limits on the output, means over documents of the mean over positions: ``total_variation`` (upper) and ``agreement``
    of the top tokens (lower limit), both decided exactly, and ``kl`` = KL(base || model) in nats. ``by_text`` needs no
    common tokens: by how many nats per character the model predicts the documents worse than the base, each in its own
    tokens. Limits on the residual stream, which must hold at the embedding and after every block: ``residual`` =
    E||x' - x|| / E||x||, ``cosine`` and debiased linear ``cka`` (lower limits). ``kl``, ``by_text`` and the residual
    limits are decided by t-tests after 64, 128, 256 and 512 documents, and marked approximate. ``weights``: relative
    Frobenius distance of every block and of the rest. ``claims_lost``: how much lower than the base the model may be in
    induction accuracy, and how large a share of the facts that the base answers (``facts``, the shipped ones by
    default) it may no longer answer; exact. With it probes of both on labelled texts (``probes``, the shipped sets by
    default) are compared: what flipped is told, not counted, since a set has too few pairs of groups to limit a loss
    of 0.05. Without any limit ``claims_lost`` is 0.05. There is no default for the others, beside which the noise floor
    is reported, the drift of the base from itself after its weights went through bfloat16 and back.

    Documents are sampled from the base (``length`` tokens at most), or are the ``texts``, a finite list drawn in a
    seeded order; both models read the same ids. The first position and special tokens do not count.

    A required control: the model's random-weights ``twins`` must be farther from the base than the model, in the first
    of output, text, residual stream, weights and claims that a limit was given for (approximate, on the first 64
    documents), so that a limit cannot be met because nothing was seen. Details tell what moved, by block, which heads
    and neurons moved most, and which claims flipped.

    The verdict's check is ``drift/output``, ``drift/text``, ``drift/residual``, ``drift/weights`` or ``drift/claims``
    if all limits are of that kind, else ``drift/limits``; its estimate is that of the first limit that failed, else of
    the first that is undecided, else of the first; the others stand among the controls.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable with the reason if
    a limit speaks of what cannot be compared (another width, depth, tokenizer; a base that cannot write and no texts);
    UsageProblem for impossible limits or texts; ContextTooShort; NonFiniteMeasurement.
    """
    model, base = model_of(model), model_of(base)
    limits = checked_limits(
        total_variation=total_variation,
        agreement=agreement,
        kl=kl,
        by_text=by_text,
        residual=residual,
        cosine=cosine,
        cka=cka,
        weights=weights,
        claims_lost=claims_lost,
    ) or {"claims_lost": DEFAULTS.claims_lost}
    levels, seed, twins, allowed = levels_of(levels), seed_of(seed), twins_of(twins), budget_of(budget)
    sets = probed_sets(probes)
    if isinstance(length, bool) or not isinstance(length, int) or length < 8:
        raise UsageProblem(f"length={length!r} must be a whole number of at least 8 tokens")
    kinds = [kind for kind in KINDS if any(LIMITS[name].part == kind for name in limits)]
    check = f"{CHECK}/{kinds[0] if len(kinds) == 1 else 'limits'}"
    details: dict[str, Any] = {"base": base_facts(base), "limits": limits, "seed": seed}
    if (
        model.identity.kind != "module"
        and base.identity.kind != "module"
        and texts is None
        and facts is None
        and probes is None
    ):
        changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
        details["reproduce"] = _reproduce(model, base, limits | {"length": length, "seed": seed} | changed)
    with metered_together(model, base) as spent, halvings() as halved:
        report(check, model.id, 0, allowed.clusters)
        readings = readings_of(model, base, texts, length, seed)
        run = DriftRun(model, base, readings, limits, levels, seed, facts)
        run.decide(check, allowed.clusters)
        if "claims_lost" in limits:
            run.tell(probes_lost(model, base, sets, levels, allowed.clusters, seed))
        twin_control = run.compare_with_twins(kinds, twins, scheme, seed, levels)
        details |= run.details() | {"batch_halvings": halved}
    return conclude(
        drift_verdict(
            check,
            model,
            base,
            limits,
            run.judged,
            twin_control,
            allowed=allowed,
            measurements=run.measurements,
            details=details,
            levels=levels,
            cost=spent(),
        )
    )


def _reproduce(model: Model, base: Model, arguments: dict[str, Any]) -> str:
    given = "".join(f", {name}={value!r}" for name, value in arguments.items() if value is not None)
    return f"assert_drift_below(load({model.id!r}), load({base.id!r}){given})"
