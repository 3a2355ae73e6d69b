"""The labelled sentences that the library ships, made so that no bag of their words tells the label.

Within every group each word is in as many texts of one class as of the other, and every text of a set ends with the
same full stop. So whatever adds up evidence word by word is at chance, exactly, and so is the embedding of the last
token; what is left is how the words belong together.

The files under ``prompts/data`` are the data; this code is their record. Running ``python -m
interp_assert.prompts.written.sentences`` writes the same files again, which a test checks. Nothing is taken from
anywhere.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TypeVar

from .nouns import FAMILIES, KINDS, NAMES, OTHERS, PEOPLE, THINGS, article, plural
from .opinions import BLAME, PRAISE
from .verbs import PLACES, VERBS, past, present

__all__ = ["SETS", "Row", "csv_of", "csv_text"]

T = TypeVar("T")

Row = tuple[str, int, str]
"""text, label, group"""

DATA = resources.files("interp_assert.prompts") / "data"
NEAR = ("near", "behind", "beside", "above", "below")
HAPPENED = ("disappeared", "vanished", "moved", "burned", "arrived", "remained", "mattered", "changed", "survived")
OPINIONS = (
    "The {thing} was {said}.",
    "I found that the {thing} was {said}.",
    "They told us that the {thing} was {said}.",
    "Everyone agreed that the {thing} was {said}.",
)


def truth() -> list[Row]:
    """True and false claims: what kind of thing something is, and capitals. 1 = true.

    A group is two things, each said to be what it is and what the other one is.
    """
    rows: list[Row] = []
    for one, other in _of_two_kinds():
        rows += _crossed(f"{one[0]}/{other[0]}", one[0] + " is {}.", one[1], other[0] + " is {}.", other[1])
    countries = list(csv.DictReader((DATA / "countries.csv").read_text(encoding="utf-8").splitlines()))
    capitals = {row["country"]: row["capital"] for row in countries}
    order = _mixed(list(capitals), "truth")
    for left, right in zip(order[::2], order[1::2], strict=False):
        said = (f"The capital of {name} is {{}}." for name in (left, right))
        rows += _crossed(f"{left}/{right}", next(said), capitals[left], next(said), capitals[right])
    return rows


def sentiment() -> list[Row]:
    """Opinions, half of them negated. 1 = favourable. A group is an adjective that praises and one that blames."""
    rows: list[Row] = []
    for praise, blame in zip(_mixed(PRAISE, "sentiment"), _mixed(BLAME, "sentiment"), strict=False):
        frame, thing = _pick(OPINIONS, "frame", praise), _pick(THINGS, "thing", praise)
        said = ((praise, 1), (f"not {praise}", 0), (blame, 0), (f"not {blame}", 1))
        rows += [(frame.format(thing=thing, said=words), label, f"{praise}/{blame}") for words, label in said]
    return rows


def tense() -> list[Row]:
    """Two clauses, one in the present and one in the past. 1 = the main one is in the past. A group is a verb.

    "The baker who was here sings." and "The baker who sings was here." hold the same words.
    """
    rows: list[Row] = []
    for place, verb in enumerate(_mixed(VERBS, "tense")):
        who, where = _pick(PEOPLE, "who", verb), _pick(PLACES, "where", verb)
        is_, does = ("was", present(verb)) if place % 2 else ("is", past(verb))
        rows.append((f"The {who} who {is_} {where} {does}.", int(is_ == "is"), verb))
        rows.append((f"The {who} who {does} {is_} {where}.", int(is_ == "was"), verb))
    return rows


def number() -> list[Row]:
    """A subject of one number beside a noun of the other. 1 = the subject is plural. A group is two nouns.

    "The key near the boxes moved." and "The boxes near the key moved." hold the same words.
    """
    nouns = _mixed([*(noun for words in KINDS.values() for noun in words.split()), *OTHERS, *PEOPLE], "number")
    rows: list[Row] = []
    for one, many in zip(nouns[::2], nouns[1::2], strict=False):
        near, happened = _pick(NEAR, "near", one), _pick(HAPPENED, "happened", one)
        pair = (one, plural(many))
        for label, (subject, beside) in enumerate((pair, pair[::-1])):
            rows.append((f"The {subject} {near} the {beside} {happened}.", label, f"{one}/{many}"))
    return rows


SETS: dict[str, tuple[Callable[[], list[Row]], tuple[str, str]]] = {
    "truth": (truth, ("false", "true")),
    "sentiment": (sentiment, ("unfavourable", "favourable")),
    "tense": (tense, ("present", "past")),
    "number": (number, ("singular", "plural")),
}
"""Name -> how it is made, and its classes."""


def csv_of(name: str) -> str:
    """The text of a file: labels as words, groups in a fixed order."""
    make, classes = SETS[name]
    return csv_text(make(), classes)


def csv_text(rows: Sequence[Row], classes: tuple[str, str]) -> str:
    """Rows as a shipped file has them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("text", "label", "group"))
    writer.writerows((text, classes[label], group) for text, label, group in rows)
    return out.getvalue()


def write(folder: Path) -> None:
    for name in SETS:
        (folder / f"{name}.csv").write_text(csv_of(name), encoding="utf-8")


def _drawn(*key: object) -> int:
    """A large number that these words decide: the same everywhere and for ever."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:8], "big")


def _mixed(items: Sequence[T], key: str) -> list[T]:
    return sorted(items, key=lambda item: _drawn(key, item))


def _pick(options: Sequence[T], *key: str) -> T:
    return options[_drawn(*key) % len(options)]


def _crossed(group: str, one: str, own: str, other: str, others: str) -> list[Row]:
    """Each claim with its own answer (true) and with the other's (false)."""
    return [
        (one.format(own), 1, group),
        (one.format(others), 0, group),
        (other.format(others), 1, group),
        (other.format(own), 0, group),
    ]


def _of_two_kinds() -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of ("A sparrow", "a bird"), of kinds that cannot be mistaken for each other; every word in one pair."""
    pairs: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for members in (_with_articles(), _without_articles()):
        left = {family: _mixed(words, "kinds") for family, words in members.items()}
        while sum(map(bool, left.values())) > 1:
            # the largest family gives one of every pair, so that none is left over alone
            largest = max(left, key=lambda family: len(left[family]))
            others = [family for family in left if family != largest for _ in left[family]]
            partner = _pick(others, "partner", str(len(pairs)))
            pairs.append((left[largest].pop(), left[partner].pop()))
    return pairs


def _with_articles() -> dict[Sequence[str], list[tuple[str, str]]]:
    family = {kind: members for members in FAMILIES for kind in members}
    found: dict[Sequence[str], list[tuple[str, str]]] = {}
    for kind, words in KINDS.items():
        named = [(f"{article(noun).capitalize()} {noun}", f"{article(kind)} {kind}") for noun in words.split()]
        found.setdefault(family.get(kind, (kind,)), []).extend(named)
    return found


def _without_articles() -> dict[Sequence[str], list[tuple[str, str]]]:
    return {(kind,): [(name, f"{article(kind)} {kind}") for name in words.split()] for kind, words in NAMES.items()}


if __name__ == "__main__":
    write(Path(str(DATA)))
