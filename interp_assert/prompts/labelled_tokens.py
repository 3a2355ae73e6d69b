"""Labelled texts in a model's own tokens: groups whose words it does not know are left out, whole and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ContextTooShort, UsageProblem
from .labelled import LabelledTexts, shortened
from .pool import bos_id

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["LabelledRows", "fault_of", "left_out", "put_into_tokens"]


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """What could be put into the model's tokens, and what could not; entry i of each attribute belongs to text i.

    Attributes:
        data: the texts that are left, or None if none are.
        rows: their ids, BOS first if the tokenizer defines one.
        labels: int64, 0 or 1.
        kept: the places of these texts in the data set that was put into tokens.
        dropped: group -> reason, for groups that are left out.
        note: BOS, counts and reasons.
    """

    data: LabelledTexts | None
    rows: tuple[tuple[int, ...], ...]
    labels: NDArray[np.int64]
    kept: tuple[int, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are left."""
        return () if self.data is None else self.data.texts

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each text that is left."""
        return () if self.data is None else self.data.groups

    @property
    def n_groups(self) -> int:
        """The number of groups that are left."""
        return 0 if self.data is None else self.data.n_groups

    def some_groups(self, most: int, seed: int = 0) -> LabelledRows:
        """At most ``most`` whole groups; see ``LabelledTexts.some_groups``."""
        if self.data is None or self.n_groups <= most:
            return self
        chosen = set(self.data.some_groups(most, seed).groups)
        places = [i for i, group in enumerate(self.groups) if group in chosen]
        return self._only(places, f"the budget allows {most} of {self.n_groups} groups, drawn with seed {seed}")

    def some_of_each_group(self, most: int, seed: int = 0) -> LabelledRows:
        """At most ``most`` texts of each group, drawn with this seed; as many of either class as there are of the rarer
        one, if that allows.
        """
        held: dict[str, tuple[list[int], list[int]]] = {}
        for place, group in enumerate(self.groups):
            held.setdefault(group, ([], []))[int(self.labels[place])].append(place)
        if self.data is None or all(len(lower) + len(upper) <= most for lower, upper in held.values()):
            return self
        rng = np.random.default_rng([seed, 0x7E87])
        places: list[int] = []
        for _, classes in sorted(held.items()):
            lower, upper = ([members[i] for i in rng.permutation(len(members))] for members in classes)
            of_lower = max(most - len(upper), min(len(lower), most // 2))
            places += lower[:of_lower] + upper[: most - min(len(lower), of_lower)]
        return self._only(sorted(places), f"at most {most} texts of a group, drawn with seed {seed}")

    def _only(self, places: list[int], why: str) -> LabelledRows:
        return LabelledRows(
            None if self.data is None else self.data.only(places),
            tuple(self.rows[i] for i in places),
            self.labels[places],
            tuple(self.kept[i] for i in places),
            self.dropped,
            f"{self.note}; {why}",
        )


def put_into_tokens(data: LabelledTexts, model: Model) -> LabelledRows:
    """Each text with BOS in front, if the tokenizer defines one, and no other special tokens.

    A group with a token that the model does not know is left out whole: without one of its texts its words would no
    longer be balanced between the classes. So is one with a text that has the tokens of a text in an earlier group (in
    other letters, to a tokenizer without capitals): on two sides of a split it would be known by heart. If one class is
    left, nothing is. Where fewer than half of the groups are left, the ``simpler`` wording of the data is read, if
    more of its groups are known.

    Raises UsageProblem if the model has no tokenizer, ContextTooShort naming the text that does not fit.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise UsageProblem(
            f"{model.id} has no tokenizer, so texts cannot be put into its tokens; give wrap() a tokenizer"
        )
    rows = _known(data, model, tokenizer)
    if data.simpler is None or 2 * rows.n_groups >= data.n_groups:
        return rows
    simpler = _known(data.simpler, model, tokenizer)
    if simpler.n_groups <= rows.n_groups:
        return rows
    known = f"{rows.n_groups} of {data.n_groups} groups in everyday words are in its vocabulary"
    return replace(simpler, note=f"in the wording for small vocabularies ({known}): {simpler.note}")


def _known(data: LabelledTexts, model: Model, tokenizer: Any) -> LabelledRows:
    bos, size, unknown = bos_id(model), int(model.vocab_size), tokenizer.unk_token_id
    encoded = tokenizer(list(data.texts), add_special_tokens=False)["input_ids"]
    rows: list[tuple[int, ...]] = []
    dropped: dict[str, str] = {}
    said_by: dict[tuple[int, ...], str] = {}
    for text, group, ids in zip(data.texts, data.groups, encoded, strict=True):
        rows.append((*(() if bos is None else (bos,)), *(int(i) for i in ids)))
        fault = fault_of(ids, size, unknown)
        if said_by.setdefault(rows[-1], group) != group:
            fault = fault or "tokens of a text in another group"
        if fault is not None:
            dropped.setdefault(group, fault)
        elif model.max_positions is not None and len(rows[-1]) > model.max_positions:
            raise ContextTooShort(
                f"{model.id}: a text of {len(rows[-1])} tokens does not fit its context of {model.max_positions}: "
                f"{shortened(text)}; cut or remove longer texts"
            )
    kept = [i for i, group in enumerate(data.groups) if group not in dropped]
    note = f"BOS {'none' if bos is None else bos}; {len(kept)} of {len(data)} texts, "
    note += f"{data.n_groups - len(dropped)} of {data.n_groups} groups are in its vocabulary"
    if dropped:
        note += f"; {left_out(dropped)}"
    if len({data.labels[i] for i in kept}) < 2:
        return LabelledRows(None, (), np.empty(0, dtype=np.int64), (), dropped, note)
    left = data.only(kept)
    labels = np.array(left.labels, dtype=np.int64)
    return LabelledRows(left, tuple(rows[i] for i in kept), labels, tuple(kept), dropped, note)


def left_out(dropped: Mapping[str, str]) -> str:
    """How many groups are left out for which reason; empty if none are."""
    reasons = ", ".join(f"{n} x {why}" for why, n in sorted(Counter(dropped.values()).items()))
    return f"groups left out: {reasons}" if reasons else ""


def fault_of(ids: list[int], size: int, unknown: int | None) -> str | None:
    """Why a model of ``size`` tokens cannot read these ids; ``unknown`` is what it says for what it does not know."""
    if len(ids) == 0:
        return "no tokens"
    if unknown is not None and unknown in ids:
        return "unknown token"
    if max(ids) >= size:
        return "token outside the model's vocabulary"
    return None
