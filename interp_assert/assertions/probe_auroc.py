"""``assert_probe_auroc``: a probe reads a label off the activations, and neither words nor chance explain it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..controls import (
    PairedControl,
    TwinScore,
    bag_of_words,
    embedding_layer,
    fit_words,
    not_worse_than_diff_of_means,
    random_weights,
    shuffled_labels,
)
from ..measures import ProbeScores, read_last
from ..measures.probes import ProbeProblem
from ..prompts import SHIPPED_SETS, LabelledTexts, labelled_set
from ..stats import Budget, ControlResult, ErrorLevels, Split, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, share_of, twins_of
from .asserting import asserted
from .engine import halvings
from .judging import judged
from .paired_claim import PairedClaim
from .probe_compared import as_twin_score, or_no_better, won
from .probe_report import more_groups, probe_details
from .probe_task import ProbeTask, data_of, kind_of, named_layer, probe_task
from .progress import report
from .reasons import Named, changed_settings, not_applicable, reproduce
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["DEFAULTS", "ProbeDefaults", "assert_probe_auroc"]


@dataclass(frozen=True)
class ProbeDefaults:
    """What ``assert_probe_auroc`` claims and compares with if nothing else is said."""

    margin: float = 0.05
    """by which the AUROC must exceed that of a bag of words and that at the embedding"""
    scheme: str = "resample"
    """how twins get their random weights"""


DEFAULTS = ProbeDefaults()


@asserted
def assert_probe_auroc(
    model: Model,
    data: LabelledTexts | str,
    floor: float | None = None,
    *,
    layer: str | int = "best",
    probe: str = "linear",
    margin: float = DEFAULTS.margin,
    split: Split | None = None,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
    twins: int | None = None,
    scheme: str = DEFAULTS.scheme,
) -> Verdict:
    """Claim that a probe at the last position of ``data``'s texts tells their classes apart in groups it never saw.

    ``data`` are LabelledTexts, or the name of a shipped set ("truth", "sentiment", "tense", "number"). ``layer`` is
    "best" (of the stream after each block), a block counted from 1, or a site ("blocks.*.mlp.out": the best of them);
    ``probe`` "linear", "diff_of_means" or "mlp". Groups go whole into a training part (standardisation and fit), a
    select part (penalty, layer) and a test part, unless ``split`` brings its own. At most as many groups as the
    ``budget`` allows are drawn.

    Without ``floor`` the claim is relative: the AUROC on the test part exceeds that of a bag of words by more than
    ``margin``. With ``floor`` it is AUROC > floor. Either is decided exactly on disjoint pairs of a positive and a
    negative text, every group in one pair at most; ``n`` counts pairs. Required controls: bag of words and embedding
    layer (beaten by more than ``margin``), labels shuffled at the level at which they were given, random-weights
    ``twins`` with probes of their own (approximate), and an AUROC not .02 below that of a difference of means
    (approximate; not of a ``diff_of_means`` probe). Details hold AUROC and logit-DeLong interval by layer.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE; NotApplicable if the model has no
    tokenizer, lacks the site, or knows the words of too few groups; UsageProblem for data or arguments with which
    nothing could be decided; NonFiniteMeasurement for activations that are not finite.
    """
    model, data, probe = model_of(model), data_of(data), kind_of(probe)
    floor = None if floor is None else share_of("floor", floor)
    margin, allowed, levels = share_of("margin", margin), budget_of(budget), levels_of(levels)
    seed, twins = seed_of(seed), twins_of(twins)
    check, claim = f"probes/{data.name}", _claim(data, probe, floor, margin)
    details: dict[str, Any] = {
        "quantity": "AUROC - bag of words" if floor is None else "AUROC",
        "data": data.name,
        "classes": list(data.classes),
        "probe": probe,
        "seed": seed,
        "margin": margin,
    }
    if model.identity.kind != "module" and split is None:
        changed = changed_settings(allowed, levels, twins, scheme, DEFAULTS.scheme)
        asked = {"layer": None if layer == "best" else layer, "probe": None if probe == "linear" else probe}
        given = Named("data") if data.name not in SHIPPED_SETS or data != labelled_set(data.name) else data.name
        details["reproduce"] = reproduce(
            "assert_probe_auroc", model.id, data=given, floor=floor, margin=margin, seed=seed, **asked, **changed
        )
    with model.metered() as span, halvings() as halved:
        report(check, model.id, 0, 1)
        task = probe_task(model, data, layer, split, allowed.clusters, seed)
        if isinstance(task, str):
            return conclude(not_applicable(check, model, None, claim, task, levels, details, span.cost))
        details["remedy"] = more_groups(task, allowed.clusters if split is None else None)
        run = _Run(model, task, check, probe, floor, margin, levels, seed)
        run.decide()
        controls = [run.words_result(), run.embedding_result(), run.shuffled()]
        controls += [] if probe == "diff_of_means" else [run.means_result()]
        controls.append(run.compare_with_twins(twins, scheme))
    return conclude(
        judged(
            check,
            model,
            run.claim.gate,
            controls,
            claim=claim,
            levels=levels,
            details=details | probe_details(model, task, run.own, run.words_scores) | {"batch_halvings": halved},
            cost=span.cost,
            layer=named_layer(run.own.sites[run.own.best], int(model.anatomy.n_blocks)),
            measurements=(run.won, run.won_by_words, run.won_by_embedding),
            population=run.won.n,
        )
    )


class _Run:
    """The probe and what it is compared with, on the same parts and pairs."""

    def __init__(
        self,
        model: Model,
        task: ProbeTask,
        check: str,
        kind: str,
        floor: float | None,
        margin: float,
        levels: ErrorLevels,
        seed: int,
    ) -> None:
        self.model, self.task, self.check, self.kind = model, task, check, kind
        self.margin, self.levels, self.seed = margin, levels, seed
        rows, labels = task.rows, task.rows.labels
        read = read_last(model, rows.rows, [*task.sites, task.embedding], names=rows.texts)
        self.problem = ProbeProblem({site: read[site] for site in task.sites}, task.split)
        self.own = self.problem.fit(labels, kind=kind, seed=seed)
        self.means = self.problem.fit(labels, kind="diff_of_means")
        at_embedding = ProbeProblem({task.embedding: read[task.embedding]}, task.split)
        self.embedding_scores = at_embedding.fit(labels, kind=kind, seed=seed)
        self.words_scores = fit_words(rows.texts, rows.rows, labels, task.split, margin=margin, pairs=True)
        self.won = won(task, check, self.own.chosen)
        self.won_by_words = won(task, f"{check} by a bag of words", self.words_scores.chosen)
        self.won_by_embedding = won(task, f"{check} at the embedding", self.embedding_scores.chosen)
        self.claim = PairedClaim(bag_of_words(margin, levels), floor, levels)
        self.embedding: PairedControl = embedding_layer(margin, levels)

    def decide(self) -> None:
        """Feed the gates with the pairs, in their random order; each stops where it decides."""
        self.claim.update(self.won, self.won_by_words)
        self.embedding.update(self.won, self.won_by_embedding)
        report(self.check, self.model.id, 1, 1)

    def words_result(self) -> ControlResult:
        """The comparison with a bag of words, which without a floor is the claim."""
        return self._or_no_better(self.claim.control_result(), self.words_scores)

    def embedding_result(self) -> ControlResult:
        """The comparison with the embedding layer."""
        return self._or_no_better(self.embedding.result(), self.embedding_scores)

    def shuffled(self) -> ControlResult:
        """All layers again, fitted and chosen among, on labels that say nothing; of hidden layers the chosen one only,
        for they take a hundred times as long.
        """
        chosen = self.own.sites[self.own.best]
        problem = self.problem
        if self.kind == "mlp":
            problem = ProbeProblem({chosen: problem.features[chosen]}, self.task.split)

        def each(k: int) -> None:
            report(f"{self.check} (shuffled labels {k})", self.model.id, 1, 1)

        return shuffled_labels(
            float(self.own.test[self.own.best]),
            lambda labelings: problem.select_and_test(labelings, kind=self.kind, seed=self.seed),
            self.task.rows.labels,
            self.task.rows.groups,
            self.task.split,
            level=self.levels.control,
            fail_level=self.levels.control_fail,
            seed=self.seed,
            each=each,
        )

    def means_result(self) -> ControlResult:
        """The probe is not worse than a difference of means, each at its best layer."""
        test = self.task.split.test
        return not_worse_than_diff_of_means(
            self.own.chosen[test],
            self.means.chosen[test],
            self.task.rows.labels[test],
            self.task.test_groups,
            level=self.levels.control,
            fail_level=self.levels.control_fail,
        )

    def compare_with_twins(self, n: int | None, scheme: str) -> ControlResult:
        """The whole recipe again on each twin: its activations, its own probes, its own best layer."""
        rows = self.task.rows

        def trained_on(twin: Model) -> TwinScore:
            read = read_last(twin, rows.rows, self.task.sites, names=rows.texts)
            fitted = ProbeProblem(read, self.task.split).fit(rows.labels, kind=self.kind, seed=self.seed)
            return as_twin_score(self.task, fitted.chosen)

        def each(k: int) -> None:
            report(f"{self.check} (random-weights twin {k})", self.model.id, 1, 1)

        return random_weights(
            self.model,
            as_twin_score(self.task, self.own.chosen),
            trained_on,
            scheme=scheme,
            n=n,
            seed=self.seed,
            level=self.levels.control,
            fail_level=self.levels.control_fail,
            each=each,
        )

    def _or_no_better(self, result: ControlResult, baseline: ProbeScores) -> ControlResult:
        return or_no_better(result, self.task, self.own.chosen, baseline.chosen, margin=self.margin, levels=self.levels)


def _claim(data: LabelledTexts, probe: str, floor: float | None, margin: float) -> str:
    kind = {"linear": "linear probe", "diff_of_means": "difference of means", "mlp": "probe with a hidden layer"}[probe]
    what = f"a {kind} tells {data.classes[1]} from {data.classes[0]} in groups of {data.name!r} that it never saw:"
    if floor is None:
        return f"{what} its AUROC exceeds that of a bag of words by more than {margin:g}"
    return f"{what} its AUROC is above {floor:g}"
