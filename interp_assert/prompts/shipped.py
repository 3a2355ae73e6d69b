"""The labelled sentences that come with the library, whose label no bag of words tells; see ``written.sentences``."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from ..errors import UsageProblem
from .facts import statements
from .labelled import LabelledTexts
from .labelled_files import read_labelled

__all__ = ["SHIPPED_SETS", "continents", "labelled_set"]

SHIPPED_SETS = {
    "truth": ("false", "true"),
    "sentiment": ("unfavourable", "favourable"),
    "tense": ("present", "past"),
    "number": ("singular", "plural"),
}
"""Name -> what 0 and 1 mean."""
SIMPLER_SETS = ("truth",)
"""Those that have a wording for small vocabularies, in a folder of its own."""
SMALL = "small_vocabulary"


def labelled_set(name: str) -> LabelledTexts:
    """The shipped data set of this name.

    * ``truth``: claims about kinds of things and about capitals, true or false; a group is two things.
    * ``sentiment``: opinions, half of them negated; a group is an adjective of praise and one of blame.
    * ``tense``: whether the main clause, not the other one, is in the past; a group is a verb.
    * ``number``: whether the subject, not the noun beside it, is plural; a group is two nouns.

    Written in everyday English. ``truth`` brings a wording for small vocabularies with it (``simpler``): claims about
    what is spoken where, for models that do not know the words of half of the groups.

    Raises UsageProblem for another name.
    """
    if name not in SHIPPED_SETS:
        raise UsageProblem(f"no shipped data set {name!r}; there are {', '.join(SHIPPED_SETS)}")
    everyday = _read(name)
    return replace(everyday, simpler=_read(name, SMALL)) if name in SIMPLER_SETS else everyday


def _read(name: str, folder: str = "") -> LabelledTexts:
    with resources.as_file(resources.files(__package__) / "data" / folder / f"{name}.csv") as path:
        return read_labelled(path, classes=SHIPPED_SETS[name], name=name)


def continents() -> LabelledTexts:
    """Prompts that ask for the continent of a country, Europe (1) or Asia (0); a group is a country.

    Made for steering: the next word of each is "Europe" or "Asia". (A bag of words knows the countries, so a probe on
    them shows nothing.)
    """
    asked = [each for each in statements(["continent"]) if each.target in ("Asia", "Europe")]
    return LabelledTexts(
        name="continents",
        texts=tuple(each.prompt for each in asked),
        labels=tuple(int(each.target == "Europe") for each in asked),
        groups=tuple(each.cluster for each in asked),
        classes=("Asia", "Europe"),
    )
