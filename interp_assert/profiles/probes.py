"""Probes in the profile: how well each shipped data set is told apart, at the block that is best on other groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..assertions.probe_auroc import DEFAULTS
from ..assertions.probe_report import probe_details
from ..assertions.probe_task import named_layer, probe_task
from ..controls import fit_words
from ..errors import UsageProblem
from ..measures import read_last
from ..measures.probes import ProbeProblem
from ..prompts import labelled_set
from .figure import Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["NUMBER", "SENTIMENT", "TENSE", "TRUTH"]


def figures(model: Model, asked: Request, *, name: str) -> Sequence[Figure]:
    """One figure: AUROC in groups that neither the probe nor the choice of the block has seen, with the logit-DeLong
    interval over groups; beside it that of a bag of words on the same parts. Blank where the model lacks the words.
    """
    check, quantity = f"probes/{name}", f"{name} probe"
    try:
        task = probe_task(model, labelled_set(name), "best", None, asked.clusters, asked.seed)
    except UsageProblem as problem:  # a handful of clusters cannot be split
        return [Figure.none(check, quantity, str(problem))]
    if isinstance(task, str):
        return [Figure.none(check, quantity, task)]
    rows, labels = task.rows, task.rows.labels
    own = ProbeProblem(read_last(model, rows.rows, task.sites, names=rows.texts), task.split).fit(labels)
    by_words = fit_words(rows.texts, rows.rows, labels, task.split, margin=DEFAULTS.margin)
    words = float(by_words.test[by_words.best])
    told = probe_details(model, task, own)
    low, high = told["auroc_interval"]
    kept = ("site", "by_block", "texts", "groups", "data_note")
    return [
        Figure(
            measure=check,
            quantity=quantity,
            value=told["auroc"],
            interval=(low, high),
            n=told["groups"]["test"],
            unit="AUROC",
            note=f"words {words:.3f}; {named_layer(told['site'], int(model.anatomy.n_blocks))}",
            approximate=True,
            details={"bag_of_words": words, **{key: told[key] for key in kept}},
        )
    ]


def _entry(name: str, what: str) -> ProfiledMeasure:
    about = f"AUROC of a linear probe for {what}, on groups it never saw; below it that of a bag of words"
    return ProfiledMeasure(f"probes/{name}", f"{name} probe", partial(figures, name=name), about)


TRUTH = _entry("truth", "the truth of a claim")
SENTIMENT = _entry("sentiment", "praise and blame, plain or negated")
TENSE = _entry("tense", "the tense of the main clause")
NUMBER = _entry("number", "the number of the subject")
