"""``assert_steers``: adding the difference of two classes to the residual stream moves what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from ..errors import UsageProblem
from ..measures.steering import ALPHAS, steering_site
from ..measures.steering_target import check_target
from ..prompts import LabelledTexts
from ..stats import Budget, ErrorLevels, SequentialGate, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .engine import halvings
from .judging import judged
from .probe_task import data_of
from .progress import report
from .reasons import changed_settings, not_applicable
from .recording import conclude
from .steers_run import CHECK, DEFAULTS, SteeringRun, steer
from .steers_text import neutral_text

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "DEFAULTS", "assert_steers"]


@asserted
def assert_steers(
    model: Model,
    data: LabelledTexts | str,
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
    (all three t-predictions: approximate); and on ``neutral`` text (documents that the model writes itself by default)
    a dose of one class distance, either way, costs at most ``nll_budget`` nats per token in more than half of the
    documents.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable if the model has no
    tokenizer, does not know the words, lacks the site, has too short a context, or fewer than 20 prompts (groups of
    them) are left; UsageProblem for impossible arguments, NonFiniteMeasurement where a dose makes logits that are not
    finite.
    """
    model, levels, allowed = model_of(model), levels_of(levels), budget_of(budget)
    seed, twins, floor = seed_of(seed), twins_of(twins), share_of("floor", floor)
    data = data_of(data)
    _check(slope, nll_budget)
    check_target(target)
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

        run = steer(
            model, data, target, layer=layer, prompts=prompts, at_most=allowed.clusters, seed=seed, alphas=alphas
        )
        if isinstance(run, str):
            return conclude(not_applicable(CHECK, model, where, claim, run, levels, details, span.cost))
        clusters = len(run.prompts.clusters)
        gate = SequentialGate(floor, levels=levels, population=clusters)
        gate.update(run.steerable(slope).values)
        report(CHECK, model.id, gate.n, clusters)
        controls = (
            *run.meaningless_directions(levels),
            neutral_text(model, site, run.direction, DEFAULTS.coherent, neutral, nll_budget, levels, seed),
            run.compare_with_twins(twins, scheme, levels),
        )
    return conclude(
        judged(
            CHECK,
            model,
            gate,
            controls,
            claim=claim,
            levels=levels,
            details=details | _told(run) | {"batch_halvings": halved},
            cost=span.cost,
            layer=where,
            measurements=(run.measured(),),
        )
    )


def _told(run: SteeringRun) -> dict[str, Any]:
    told, written = run.details(), run.attribution()
    if "missing" in written:
        line = f"not known: {written['missing']}"
    else:
        shown = ", ".join(f"{part['component']} {part['logits']:.2f}" for part in written["parts"][:5])
        line = f"{written['total']:.2f} logits between the classes; directly by {shown}"
    told["profile"] = {**told["profile"], "written": line}
    return told | {"attribution": written}


def _check(slope: float, nll_budget: float) -> None:
    for name, value in (("slope", slope), ("nll_budget", nll_budget)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
            raise UsageProblem(f"{name}={value!r} must be a number of at least 0")
