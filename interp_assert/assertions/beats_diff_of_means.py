"""``assert_beats_diff_of_means``: a detector of any make is not worse than the simplest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..controls import TwinScore, bag_of_words, fit_words, random_weights
from ..controls.diff_of_means import DELTA
from ..errors import UsageProblem
from ..measures import read_last
from ..measures.probes import KINDS, ProbeProblem, ProbeScores
from ..prompts import LabelledTexts
from ..stats import Budget, ControlResult, ErrorLevels, Outcome, Split, Verdict, combine
from ..stats.auroc import auroc, auroc_difference
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .engine import halvings
from .probe_auroc import DEFAULTS
from .probe_compared import as_twin_score, or_no_better, won
from .probe_report import probe_details
from .probe_task import ProbeTask, data_of, named_layer, probe_task
from .progress import report
from .reasons import not_applicable
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "Detector", "assert_beats_diff_of_means"]

CHECK = "controls/diff_of_means"

Features = NDArray[np.float32]
Detector = Callable[[Features, NDArray[np.int64], Features], Any]
"""(training activations (example, width), their labels, all activations) -> a score per example, higher for class 1"""


@asserted
def assert_beats_diff_of_means(
    model: Model,
    data: LabelledTexts | str,
    detector: Detector | str,
    *,
    layer: str | int = "best",
    delta: float = DELTA,
    margin: float = DEFAULTS.margin,
    name: str | None = None,
    split: Split | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that the AUROC of ``detector`` is not ``delta`` below that of a difference of means.

    ``detector`` is "linear", "mlp", or a function of the training part's activations, their labels and all
    activations, as the model has them, which returns a score for each of these: the best latent of a sparse coder,
    say. It is called at every site that ``layer`` names, as in ``assert_probe_auroc``, and each of the two is judged
    at the site that is best on the select part. The comparison is approximate: DeLong's joint variance over groups on
    the test part. Required controls: the detector beats a bag of words by more than ``margin`` on disjoint pairs, and,
    fitted anew, is out of reach of random-weights ``twins``.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE, NotApplicable as
    ``assert_probe_auroc`` does, UsageProblem for impossible arguments or a detector that returns something else,
    NonFiniteMeasurement for scores that are not finite.
    """
    model, data = model_of(model), data_of(data)
    called = _checked(detector, name)
    delta, margin = share_of("delta", delta), share_of("margin", margin)
    levels, seed, twins, allowed = levels_of(levels), seed_of(seed), twins_of(twins), budget_of(budget)
    claim = f"AUROC of {called} on {data.name!r} is not {delta:g} below that of a difference of means, in unseen groups"
    details: dict[str, Any] = {"quantity": "AUROC - difference of means", "data": data.name, "seed": seed}
    with model.metered() as span, halvings() as halved:
        task = probe_task(model, data, layer, split, allowed.clusters, seed)
        if isinstance(task, str):
            return conclude(not_applicable(CHECK, model, None, claim, task, levels, details, span.cost))
        own, means = _fitted(model, task, detector, called, seed)
        words = _words_control(task, own, margin, levels)

        def again(twin: Model) -> TwinScore:
            return as_twin_score(task, _fitted(twin, task, detector, called, seed)[0].chosen)

        def each(k: int) -> None:
            report(f"{CHECK} (random-weights twin {k})", model.id, k + 1, k + 1)

        compared = random_weights(
            model,
            as_twin_score(task, own.chosen),
            again,
            scheme=scheme,
            n=twins,
            seed=seed,
            level=levels.control,
            fail_level=levels.control_fail,
            each=each,
        )
    test, controls = task.split.test, (words, compared)
    both = (own.chosen[test], means.chosen[test], task.rows.labels[test], task.test_groups)
    lower, upper = (auroc_difference(*both, level=level) for level in (levels.pass_, levels.fail))
    claimed = Outcome.PASS if lower.low > -delta else Outcome.FAIL if upper.high < -delta else Outcome.INCONCLUSIVE
    outcome = combine(claimed, controls)
    reported = probe_details(model, task, own) | {"probe": called, "diff_of_means_auroc": lower.areas[1]}
    return conclude(
        Verdict(
            check=CHECK,
            outcome=outcome,
            model=model.id,
            layer=named_layer(own.sites[own.best], int(model.anatomy.n_blocks)),
            claim=claim,
            estimate=lower.difference,
            interval=(lower.low, upper.high),
            n=lower.n,
            threshold=-delta,
            direction="higher",
            levels=levels,
            controls=controls,
            details=details | reported | {"approximate": True, "batch_halvings": halved},
            cost=span.cost,
            reason=_reason(claimed, outcome, controls),
            claim_outcome=claimed,
            measurements=(won(task, CHECK, own.chosen),),
            population=len(task.pairs),
        )
    )


def _checked(detector: Detector | str, name: str | None) -> str:
    if isinstance(detector, str):
        others = [kind for kind in KINDS if kind != "diff_of_means"]
        if detector not in others:
            raise UsageProblem(f"detector={detector!r} must be {' or '.join(map(repr, others))}, or a function")
        return name or f"the {detector} probe"
    if not callable(detector):
        raise UsageProblem(
            f"detector={detector!r} must be a function of training activations, their labels and all activations"
        )
    return name or str(getattr(detector, "__name__", "the detector"))


def _fitted(
    model: Model, task: ProbeTask, detector: Detector | str, called: str, seed: int
) -> tuple[ProbeScores, ProbeScores]:
    """The detector and the difference of means, each at every site."""
    read = read_last(model, task.rows.rows, task.sites, names=task.rows.texts)
    problem, labels = ProbeProblem(read, task.split), task.rows.labels
    means = problem.fit(labels, kind="diff_of_means")
    if isinstance(detector, str):
        return problem.fit(labels, kind=detector, seed=seed), means
    return _detected(detector, read, labels, task.split, called), means


def _detected(
    detector: Detector, read: Mapping[str, Features], labels: NDArray[np.int64], split: Split, called: str
) -> ProbeScores:
    found = []
    for site, values in read.items():
        scores = np.asarray(detector(values[split.train], labels[split.train], values), dtype=np.float64)
        if scores.shape != labels.shape:
            raise UsageProblem(
                f"{called} returned scores of shape {scores.shape} for {len(labels)} activations at {site}; it must "
                "return one for each"
            )
        found.append(scores)
    scores = np.stack(found)
    select, test = (np.atleast_1d(auroc(scores[:, part], labels[part])) for part in (split.select, split.test))
    return ProbeScores(called, tuple(read), scores, select, test, int(select.argmax()))


def _words_control(task: ProbeTask, own: ProbeScores, margin: float, levels: ErrorLevels) -> ControlResult:
    rows = task.rows
    words = fit_words(rows.texts, rows.rows, rows.labels, task.split, margin=margin)
    control = bag_of_words(margin, levels)
    control.update(won(task, CHECK, own.chosen), won(task, f"{CHECK} by a bag of words", words.chosen))
    return or_no_better(control.result(), task, own.chosen, words.chosen, margin=margin, levels=levels)


def _reason(claimed: Outcome, outcome: Outcome, controls: tuple[ControlResult, ...]) -> str:
    if outcome is Outcome.PASS:
        return ""
    names = [control.name for control in controls if control.required and control.outcome is outcome]
    if outcome is Outcome.FAIL:
        said = ["a difference of means does better"] if claimed is Outcome.FAIL else []
        return "; ".join([*said, *(f"control {name} does as well as the model" for name in names)])
    undecided = (["the claim; more groups would decide it"] if claimed is outcome else []) + [
        f"control {name}" for name in names
    ]
    return f"not decided: {', '.join(undecided)}"
