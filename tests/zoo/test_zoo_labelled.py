"""Claims in the zoo's words: what the record writes, no bag of words tells the truth, and read where they serve."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from interp_assert import load
from interp_assert.prompts import labelled_set, put_into_tokens
from interp_assert.stats import split_by_group
from interp_assert.stats.auroc import auroc
from interp_fixtures.zoo import labelled
from interp_fixtures.zoo.claims import claimants
from interp_fixtures.zoo.facts_data import LIBRARY, entities
from interp_fixtures.zoo.vocabulary import vocabulary
from interp_fixtures.zoo.writing import split


@pytest.fixture(scope="module")
def claims():
    return labelled_set("truth").simpler


def test_the_file_is_what_its_record_writes(claims):
    file = LIBRARY / "small_vocabulary" / "truth.csv"
    assert file.read_text(encoding="utf-8") == labelled.csv_of()
    assert claims.classes == labelled_set("truth").classes
    assert labelled_set("sentiment").simpler is None


def test_every_label_is_true(claims):
    language = {entity.name: entity.answers["language"] for entity in entities()}
    for text, label in zip(claims.texts, claims.labels, strict=True):
        name, said = text.removeprefix("The language of ").removesuffix("?").split(" is ")
        assert (language[name] == said) == bool(label)


def test_every_entity_is_in_one_group_and_every_word_is_in_the_zoos_vocabulary(claims):
    named = [name for group in set(claims.groups) for name in group.split("/")]
    assert len(named) == len(set(named)) >= 240
    assert {word for text in claims.texts for word in split(text)} <= set(vocabulary())
    judged = {entity.entity for entity in claimants("language", False)}
    assert 0.7 < np.mean([name in judged for name in named]) < 0.8


def test_in_every_group_every_word_is_as_often_in_one_class_as_in_the_other(claims):
    counts = {}
    for text, label, group in zip(claims.texts, claims.labels, claims.groups, strict=True):
        counts.setdefault((group, label), Counter()).update(split(text))
    assert all(counts[group, 0] == counts[group, 1] for group in claims.groups)
    assert len({len(split(text)) for text in claims.texts}) == 1
    assert {split(text)[-1] for text in claims.texts} == {"?"}


def test_logistic_regression_on_words_is_at_chance(claims):
    linear_model = pytest.importorskip("sklearn.linear_model")
    places = {word: i for i, word in enumerate(vocabulary())}
    bags = np.zeros((len(claims), len(places)))
    for row, text in enumerate(claims.texts):
        for word in split(text):
            bags[row, places[word]] += 1
    labels = np.array(claims.labels)
    parts = split_by_group(labels, claims.groups)
    fitted = linear_model.LogisticRegression(max_iter=2000).fit(bags[parts.train], labels[parts.train])
    assert auroc(fitted.decision_function(bags[parts.test]), labels[parts.test]) == pytest.approx(0.5, abs=0.03)


def test_models_of_the_zoo_read_these_and_are_told_so(claims):
    rows = put_into_tokens(labelled_set("truth"), load("zoo:gpt2"))
    assert rows.texts == claims.texts
    assert rows.note.startswith("in the wording for small vocabularies (")
