"""The shipped sentences: their record writes them, and no bag of their words tells the label."""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from interp_assert.errors import UsageProblem
from interp_assert.prompts import SHIPPED_SETS, LabelledTexts, labelled_set
from interp_assert.prompts.written import nouns, opinions, sentences, verbs
from interp_assert.stats import split_by_group
from interp_assert.stats.auroc import auroc, most_pairs

every_set = pytest.mark.parametrize("name", SHIPPED_SETS)


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


@every_set
def test_the_files_are_what_their_record_writes(name: str) -> None:
    file = resources.files("interp_assert.prompts") / "data" / f"{name}.csv"
    assert file.read_text(encoding="utf-8") == sentences.csv_of(name)
    assert SHIPPED_SETS[name] == sentences.SETS[name][1]


@every_set
def test_in_every_group_every_word_is_as_often_in_one_class_as_in_the_other(name: str) -> None:
    data = labelled_set(name)
    counts: dict[tuple[str, int], Counter[str]] = {}
    for text, label, group in zip(data.texts, data.labels, data.groups, strict=True):
        counts.setdefault((group, label), Counter()).update(words(text))
    assert len(counts) == 2 * data.n_groups
    assert all(counts[group, 0] == counts[group, 1] for group in set(data.groups))


@every_set
def test_logistic_regression_on_words_is_at_chance(name: str) -> None:
    """On held-out groups, and with every text in its training part too: sums of words have nothing to learn."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    data = labelled_set(name)
    index = {word: i for i, word in enumerate(sorted({w for text in data.texts for w in words(text)}))}
    bags = np.zeros((len(data), len(index)))
    for row, text in enumerate(data.texts):
        for word in words(text):
            bags[row, index[word]] += 1
    labels = np.array(data.labels)
    for seed in range(3):
        split = split_by_group(labels, data.groups, seed=seed)
        fitted = linear_model.LogisticRegression(max_iter=2000).fit(bags[split.train], labels[split.train])
        assert auroc(fitted.decision_function(bags[split.test]), labels[split.test]) == pytest.approx(0.5, abs=0.03)
    fitted = linear_model.LogisticRegression(max_iter=2000).fit(bags, labels)
    assert np.abs(fitted.coef_).max() < 1e-3


@every_set
def test_the_last_token_and_the_length_say_nothing(name: str) -> None:
    data = labelled_set(name)
    assert {text[-1] for text in data.texts} == {"."}
    lengths = [
        Counter(len(words(t)) for t, y in zip(data.texts, data.labels, strict=True) if y == label) for label in (0, 1)
    ]
    assert lengths[0] == lengths[1]


@every_set
def test_there_are_groups_enough_to_decide(name: str) -> None:
    """Of a perfect probe the gate establishes AUROC .9 with 71 pairs; 34 establish .8."""
    data = labelled_set(name)
    test = split_by_group(data.labels, data.groups).test
    pairs = most_pairs([data.labels[i] for i in test], [data.groups[i] for i in test])
    assert pairs >= 60


def test_shallow_orders_of_words_are_balanced_too() -> None:
    """Where the verb of the relative clause stands, and which verb is used, does not tell the tense."""
    data = labelled_set("tense")
    by_shape: dict[tuple[bool, bool], list[int]] = {}
    for text, label in zip(data.texts, data.labels, strict=True):
        shape = (words(text)[3] in ("is", "was"), bool(set(words(text)) & {"is"}))
        by_shape.setdefault(shape, []).append(label)
    assert len(by_shape) == 4
    first_is = [label for (first, _), labels in by_shape.items() if first for label in labels]
    assert np.mean(first_is) == 0.5


def test_nothing_is_said_twice_and_no_word_is_in_two_lists() -> None:
    listed = [noun for text in nouns.KINDS.values() for noun in text.split()] + [*nouns.OTHERS, *nouns.PEOPLE]
    named = [name for text in nouns.NAMES.values() for name in text.split()]
    for group in (listed, named, verbs.VERBS, (*opinions.PRAISE, *opinions.BLAME)):
        assert len(set(group)) == len(group)
    assert all(nouns.plural(noun) != noun for noun in listed)
    assert len({form for verb in verbs.VERBS for form in (verbs.present(verb), verbs.past(verb))}) == 2 * len(
        verbs.VERBS
    )


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("carry", "carries carried"),
        ("play", "plays played"),
        ("go", "goes went"),
        ("waltz", "waltzes waltzed"),
        ("stop", "stops stopped"),
        ("bake", "bakes baked"),
        ("teach", "teaches taught"),
    ],
)
def test_verbs_are_spelled_right(word: str, forms: str) -> None:
    assert f"{verbs.present(word)} {verbs.past(word)}" == forms


def test_claims_are_true_and_false_as_they_say() -> None:
    data = labelled_set("truth")
    said = dict(zip(data.texts, data.labels, strict=True))
    assert said["A sparrow is a bird."] == 1
    assert said["An owl is a bird."] == 1
    assert said["The capital of France is Paris."] == 1
    kinds = {f"{noun}": kind for kind, text in nouns.KINDS.items() for noun in text.split()}
    family = {kind: members for members in nouns.FAMILIES for kind in members}
    for text, label in said.items():
        found = re.fullmatch(r"An? (\w+) is an? (.+)\.", text)
        if found:
            noun, kind = found.groups()
            assert (kinds[noun] == kind) == bool(label)
            assert label or family.get(kinds[noun], kinds[noun]) != family.get(kind, kind)


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(UsageProblem, match="no shipped data set 'humour'; there are truth, sentiment, tense, number"):
        labelled_set("humour")


def test_sets_are_cut_to_whole_groups() -> None:
    some = labelled_set("truth").some_groups(40)
    assert isinstance(some, LabelledTexts)
    assert (some.n_groups, len(some)) == (40, 160)
