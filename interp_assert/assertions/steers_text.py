"""What is steered: prompts in their clusters, and neutral text that must stay as likely as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..controls import control_levels
from ..errors import UsageProblem
from ..measures.steering import nll_under_steering
from ..prompts import CannotSample, LabelledRows, bos_id
from ..prompts.documents import Documents, GivenDocuments, SampledDocuments
from ..prompts.labelled_tokens import fault_of
from ..stats import ControlResult, ErrorLevels, Outcome, SequentialGate
from ..stats.splits import Split
from .engine import batch_sizes

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["LEAST", "NEUTRAL_DOCUMENTS", "NEUTRAL_LENGTH", "Prompts", "neutral_text", "steered_prompts"]

LEAST = 20
"""prompts, groups of labelled texts, or neutral documents that are given"""
NEUTRAL_DOCUMENTS, NEUTRAL_LENGTH = 64, 48
"""Neutral text is drawn until it is decided, at most this many documents of at most this many tokens."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prompts:
    """Rows of ids in the order of their clusters.

    Attributes:
        texts, rows: of each prompt; the prompts of a cluster stand together.
        of: the cluster of each prompt.
        clusters: in the seeded order.
        note: what was left out, and why.
    """

    texts: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    of: tuple[str, ...]
    note: str = ""

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.of))

    def pooled(self, values: Floats) -> Floats:
        """The mean of each cluster's values: (prompt,) -> (cluster,)."""
        place = {cluster: i for i, cluster in enumerate(self.clusters)}
        index = np.array([place[cluster] for cluster in self.of])
        return np.asarray(np.bincount(index, values) / np.bincount(index))

    def one_of_each(self, most: int) -> list[int]:
        """The place of the first prompt of each of the first ``most`` clusters."""
        return [self.of.index(cluster) for cluster in self.clusters[:most]]


def steered_prompts(
    model: Model, listed: LabelledRows, split: Split, prompts: Sequence[str] | None, at_most: int, seed: int
) -> Prompts:
    """The texts of the test part, a cluster for each group, or the user's prompts, each a cluster of its own; clusters
    in a seeded order, at most ``at_most`` of them. Of the user's prompts those are left out that hold a token which the
    model does not know, or that are the same tokens as one before.

    Raises UsageProblem for prompts that are not text, blank, given twice, or fewer than 20.
    """
    note = ""
    if prompts is None:
        found = [(listed.texts[i], listed.rows[i], listed.groups[i]) for i in split.test]
    else:
        found, note = _known(model, _checked(prompts))
    names = sorted({cluster for _, _, cluster in found})
    order = np.argsort(np.random.default_rng([seed, 0x57EE]).random(len(names)), kind="stable")
    rank = {names[int(i)]: place for place, i in enumerate(order[:at_most])}
    chosen = sorted((item for item in found if item[2] in rank), key=lambda item: rank[item[2]])
    texts, rows, of = zip(*chosen, strict=True) if chosen else ((), (), ())
    return Prompts(texts, rows, of, note)


def neutral_text(
    model: Model,
    site: str,
    direction: ArrayLike,
    alphas: Sequence[float],
    texts: Sequence[str] | Sequence[Sequence[int]] | None,
    budget: float,
    levels: ErrorLevels,
    seed: int,
) -> ControlResult:
    """A control: in more than half of the documents none of ``alphas`` costs more than ``budget`` nats per token.

    Decided exactly, document by document; NOT_APPLICABLE if the model cannot write any and none are given. Raises
    UsageProblem for ``texts`` that are no documents, or fewer than 20.
    """
    name, at_most = "neutral_text", NEUTRAL_DOCUMENTS
    if texts is not None and (isinstance(texts, str) or not isinstance(texts, Sequence) or len(texts) < LEAST):
        given = f"one of {len(texts)}" if isinstance(texts, (list, tuple)) else repr(texts)
        raise UsageProblem(f"neutral= must be a list of {LEAST} documents at least, not {given}")
    try:
        source: Documents = (
            SampledDocuments(model, NEUTRAL_LENGTH, seed) if texts is None else GivenDocuments(model, texts, seed=seed)
        )
        source.take(0, 1)
    except CannotSample as problem:
        reason = f"{problem} as neutral text (neutral=)"
        return ControlResult(name, Outcome.NOT_APPLICABLE, None, None, None, 0, note=reason)
    population = None if source.population is None else min(source.population, at_most)
    gate = SequentialGate(0.5, levels=control_levels(levels), population=population)
    rises: list[float] = []
    for start, count in batch_sizes(16, at_most if population is None else population):
        documents = [document.ids for document in source.take(start, count)]
        nll = nll_under_steering(model, documents, site, direction, (0.0, *alphas))
        worst = (nll[:, 1:] - nll[:, :1]).max(axis=1)
        rises += worst.tolist()
        if gate.update((worst <= budget).astype(np.float64)) is not Outcome.INCONCLUSIVE:
            break
    doses = " and ".join(f"{alpha:g}" for alpha in alphas)
    return ControlResult(
        name=name,
        outcome=gate.outcome,
        estimate=gate.estimate,
        interval=gate.interval,
        threshold=gate.threshold,
        n=gate.n,
        note=f"share of documents that doses {doses} make less likely by at most {budget:g} nats/token (mean "
        f"{np.mean(rises):.2f}); {source.note}",
        details={
            "needed": gate.needed(),
            "mean_rise": float(np.mean(rises)),
            "budget": budget,
            "doses": [*alphas],
            "failed": f"neutral text becomes less likely by more than {budget:g} nats/token",
        },
    )


def _checked(prompts: Sequence[str]) -> list[str]:
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise UsageProblem("prompts must be a list of texts, each of which the target's word can continue")
    seen: set[str] = set()
    for i, text in enumerate(prompts):
        if not isinstance(text, str) or not text.strip() or text != text.rstrip():
            raise UsageProblem(f"prompt {i} is {text!r}; give text without a space at its end, the word brings its own")
        if text in seen:
            raise UsageProblem(f"prompt {i} is given twice: {text!r}; each is an independent unit")
        seen.add(text)
    if len(prompts) < LEAST:
        raise UsageProblem(f"{len(prompts)} prompts were given, at least {LEAST} are needed: each is one unit")
    return list(prompts)


def _known(model: Model, prompts: list[str]) -> tuple[list[tuple[str, tuple[int, ...], str]], str]:
    """(text, row, cluster) of each prompt that the model can read and that is no other's row, and what is left out."""
    tokenizer, bos = model.tokenizer, bos_id(model)
    if tokenizer is None:
        raise UsageProblem(f"{model.id} has no tokenizer, so prompts cannot be put into its tokens")
    size, unknown = int(model.vocab_size), tokenizer.unk_token_id
    found: dict[tuple[int, ...], tuple[str, tuple[int, ...], str]] = {}
    left_out: Counter[str] = Counter()
    for i, text in enumerate(prompts):
        ids = [int(id) for id in tokenizer(text, add_special_tokens=False)["input_ids"]]
        row = (*(() if bos is None else (bos,)), *ids)
        fault = fault_of(ids, size, unknown) or ("the same tokens as another" if row in found else None)
        if fault is None:
            found[row] = (text, row, f"prompt {i}")
        else:
            left_out[fault] += 1
    told = ", ".join(f"{n} x {why}" for why, n in sorted(left_out.items()))
    return list(found.values()), f" (left out: {told})" if told else ""
