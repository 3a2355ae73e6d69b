"""What could be read off the base's activations and no longer can off the model's: probes of both, on the same texts.

Told, never counted: a set has some 80 disjoint pairs of groups, of which no gate could say that less than 0.05 was
lost. What is told as flipped is a loss beyond doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...controls import bag_of_words, fit_words
from ...errors import ContextTooShort
from ...measures import ProbeScores, read_last
from ...measures.probes import ProbeProblem
from ...prompts import SHIPPED_SETS, LabelledTexts, put_into_tokens
from ...stats import ErrorLevels, Outcome
from ...stats.auroc import auroc_difference
from ..probe_auroc import DEFAULTS
from ..probe_compared import won
from ..probe_task import LEAST_GROUPS, ProbeTask, data_of, named_layer, probe_task

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["probed_sets", "probes_lost"]


def probed_sets(sets: Sequence[LabelledTexts | str] | None) -> tuple[LabelledTexts, ...]:
    """The data sets that are asked for, the shipped ones by default. Raises UsageProblem for what is none."""
    return tuple(data_of(data) for data in (tuple(SHIPPED_SETS) if sets is None else sets))


def probes_lost(
    model: Model, base: Model, sets: Sequence[LabelledTexts], levels: ErrorLevels, most_groups: int, seed: int
) -> list[dict[str, Any]]:
    """For each set what a linear probe reads off each of the two, at the layer that is best for it, in groups that
    neither probe has seen: ``flipped`` and a sentence ``told``.

    The claim is that of ``assert_probe_auroc`` without a floor, without its controls: better than a bag of words. It
    flipped if the base meets it, the model does not, and the AUROC on the whole test part fell by DeLong's joint
    variance over groups.
    """
    return [_lost(model, base, data, levels, most_groups, seed) for data in sets]


@dataclass(frozen=True)
class _Probed:
    """A probe of one of the two models."""

    task: ProbeTask
    scores: ProbeScores
    layer: str
    claim: Outcome


def _lost(
    model: Model, base: Model, data: LabelledTexts, levels: ErrorLevels, most_groups: int, seed: int
) -> dict[str, Any]:
    name = f"probes/{data.name}"
    known = _known_to_both(model, base, data)
    found = known if isinstance(known, str) else _both(model, base, known, levels, most_groups, seed)
    if isinstance(found, str):
        return {"claim": name, "flipped": False, "told": f"not compared: {found}", "missing": found}
    mine, theirs = found
    task, test = mine.task, mine.task.split.test
    compared = auroc_difference(
        mine.scores.chosen[test],
        theirs.scores.chosen[test],
        task.rows.labels[test],
        task.test_groups,
        level=levels.control,
    )
    flipped = theirs.claim is Outcome.PASS and mine.claim is not Outcome.PASS and compared.high < 0.0
    change = f"AUROC {compared.areas[1]:.3f} -> {compared.areas[0]:.3f}"
    told = f"{change}, claim {theirs.claim} -> {mine.claim}"
    return {
        "claim": name,
        "flipped": flipped,
        "change": change,
        "told": told + (": FLIPPED" if flipped else ""),
        "base": compared.areas[1],
        "model": compared.areas[0],
        "difference": [compared.low, compared.high],
        "base_verdict": theirs.claim.value,
        "model_verdict": mine.claim.value,
        "base_layer": theirs.layer,
        "model_layer": mine.layer,
        "clusters": len(task.pairs),
    }


def _known_to_both(model: Model, base: Model, data: LabelledTexts) -> LabelledTexts | str:
    """The groups whose words both know, so that both are asked about the same texts; or why there are too few."""
    left = data
    for each in (base, model):
        if each.tokenizer is None:
            return f"{each.id} has no tokenizer"
        try:
            rows = put_into_tokens(left, each)
        except ContextTooShort as problem:
            return str(problem)
        if rows.data is None or (rows.dropped and rows.n_groups < LEAST_GROUPS):
            return f"{rows.n_groups} of {data.n_groups} groups are in the vocabulary of {each.id}"
        left = rows.data
    return left


def _both(
    model: Model, base: Model, data: LabelledTexts, levels: ErrorLevels, most_groups: int, seed: int
) -> tuple[_Probed, _Probed] | str:
    """Parts and pairs depend on texts and seed alone, so they are the same for both."""
    probed = []
    for each in (model, base):
        task = probe_task(each, data, "best", None, most_groups, seed)
        if isinstance(task, str):
            return f"{each.id}: {task}"
        rows = task.rows
        read = read_last(each, rows.rows, task.sites, names=rows.texts)
        scores = ProbeProblem(read, task.split).fit(rows.labels)
        layer = named_layer(scores.sites[scores.best], int(each.anatomy.n_blocks))
        probed.append(_Probed(task, scores, layer, _beats_words(task, scores, levels)))
    return probed[0], probed[1]


def _beats_words(task: ProbeTask, scores: ProbeScores, levels: ErrorLevels) -> Outcome:
    rows = task.rows
    words = fit_words(rows.texts, rows.rows, rows.labels, task.split, margin=DEFAULTS.margin)
    return bag_of_words(DEFAULTS.margin, levels).update(
        won(task, "probe", scores.chosen), won(task, "words", words.chosen)
    )
