"""Texts with a label of two classes and the group that each belongs to: what a probe is trained and judged on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageProblem
from ..stats import splits

__all__ = ["LabelledTexts"]

_SHOWN = 60


@dataclass(frozen=True)
class LabelledTexts:
    """Texts, their labels and their groups, in the order given.

    A group is the independent unit: what was written about one entity, by one author, from one template. A split never
    parts it. ``read_labelled`` makes one from a file, rows or a ``datasets`` object.

    Attributes:
        name: short, for the record.
        texts: neither blank nor twice the same.
        labels: 0 or 1; both occur.
        groups: as many as texts.
        classes: what 0 and 1 mean.
        simpler: the same question in fewer words, asked of models that do not know those of half of the groups.

    Raises UsageProblem for anything else, with the value and the remedy.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    classes: tuple[str, str] = ("0", "1")
    simpler: LabelledTexts | None = None

    def __post_init__(self) -> None:
        for field in ("texts", "labels", "groups", "classes"):
            if isinstance(getattr(self, field), str) or not isinstance(getattr(self, field), Iterable):
                raise UsageProblem(f"data set {self.name!r}: {field}={getattr(self, field)!r} must be a sequence")
            object.__setattr__(self, field, tuple(getattr(self, field)))
        self._check()
        object.__setattr__(self, "labels", tuple(int(label) for label in self.labels))
        object.__setattr__(self, "groups", tuple(str(group) for group in self.groups))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def n_groups(self) -> int:
        """The number of groups."""
        return len(set(self.groups))

    def some_groups(self, most: int, seed: int = 0) -> LabelledTexts:
        """At most ``most`` whole groups, drawn with this seed so that both classes keep their shares; all of them if
        there are no more.
        """
        if self.n_groups <= most:
            return self
        chosen = splits.sample_groups(self.labels, self.groups, most, seed)
        return self.only([i for i, group in enumerate(self.groups) if group in chosen])

    def only(self, rows: Sequence[int]) -> LabelledTexts:
        """The texts in these places, in this order."""
        return LabelledTexts(
            self.name,
            tuple(self.texts[i] for i in rows),
            tuple(self.labels[i] for i in rows),
            tuple(self.groups[i] for i in rows),
            self.classes,
        )

    def _check(self) -> None:
        where = f"data set {self.name!r}"
        if not len(self.texts) == len(self.labels) == len(self.groups):
            raise UsageProblem(
                f"{where}: {len(self.texts)} texts, {len(self.labels)} labels and {len(self.groups)} groups; "
                "give one label and one group for each text"
            )
        if not self.texts:
            raise UsageProblem(f"{where} is empty; give texts of both classes")
        if len(self.classes) != 2 or self.classes[0] == self.classes[1]:
            raise UsageProblem(f"{where}: classes={self.classes!r} must name two classes, that of 0 and that of 1")
        first: dict[str, int] = {}
        for place, text in enumerate(self.texts):
            if not isinstance(text, str) or not text.strip():
                raise UsageProblem(f"{where}: text {place} is {text!r}; remove blank rows")
            if text in first:
                raise UsageProblem(self._twice(text, first[text], place))
            first[text] = place
        for place, group in enumerate(self.groups):
            if group is None or group != group or not str(group).strip():  # NaN differs from itself
                raise UsageProblem(
                    f"{where}: group {place} is {group!r}; name the group of every text, or texts without one would "
                    "all be of the same"
                )
        for place, label in enumerate(self.labels):
            if not isinstance(label, (int, np.integer, np.bool_)) or label not in (0, 1):
                raise UsageProblem(
                    f"{where}: label {place} is {label!r}; a probe tells two classes apart, 0 and 1: "
                    "map the labels, or keep the two that you want to compare"
                )
        if len(set(self.labels)) == 1:
            only = int(self.labels[0])
            raise UsageProblem(
                f"{where}: all {len(self.texts)} texts have label {only} ({self.classes[only]}); "
                "a probe needs texts of both classes"
            )

    def _twice(self, text: str, one: int, other: int) -> str:
        labels = "with the same label" if self.labels[one] == self.labels[other] else "with both labels"
        return (
            f"data set {self.name!r}: texts {one} and {other} are the same {labels}: {shortened(text)}; "
            "remove one, for a text on both sides of a split is known by heart"
        )


def shortened(text: str) -> str:
    """A text as an error names it."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
