"""The facts: unique, single words, answerable by the next word, and enough of them on each side of the split."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from interp_fixtures.zoo import words
from interp_fixtures.zoo.facts_data import (
    RELATIONS,
    countries,
    fact_prompts,
    held_out,
    is_new_template,
    is_training_prompt,
    templates,
)


def test_there_are_enough_countries_and_each_is_named_once():
    assert len(countries()) >= 52
    for column in ("entity", "country", "capital"):
        assert max(Counter(getattr(c, column) for c in countries()).values()) == 1
    assert not {c.country for c in countries()} & {c.capital for c in countries()}


@pytest.mark.parametrize("column", ["entity", "country", "capital", "language", "continent"])
def test_every_name_is_one_word(column):
    assert all(re.fullmatch(r"\w+", getattr(c, column)) for c in countries())


def test_every_relation_has_templates_that_end_before_the_answer():
    assert set(templates()) == set(RELATIONS)
    for texts in templates().values():
        assert len(texts) >= 6, "five for training and one held out"
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert text.count("{country}") == 1
            assert not text.endswith((" ", ".", "{country}"))


def test_a_fifth_is_held_out_and_every_fact_is_still_taught():
    ordinary = [p for p in fact_prompts() if not is_new_template(p)]
    taught = [p for p in ordinary if is_training_prompt(p)]
    assert 0.18 < 1 - len(taught) / len(ordinary) < 0.22
    by_fact = Counter((p.entity, p.relation) for p in taught)
    assert min(by_fact.values()) >= 4
    assert len(by_fact) == len(countries()) * len(RELATIONS)
    assert not any(is_training_prompt(p) for p in fact_prompts() if is_new_template(p))


def test_the_split_depends_on_the_words_alone():
    assert held_out("fact", "france", "capital", "0") == held_out("fact", "france", "capital", "0")
    shares = [held_out("anything", str(i)) for i in range(2000)]
    assert 0.17 < sum(shares) / 2000 < 0.23


def test_word_lists_do_not_overlap():
    lists = (words.POSITIVE, words.NEGATIVE, words.REVIEWED, words.DEGREES, words.QUALITIES)
    assert sum(map(len, lists)) == len({word for group in lists for word in group})
    names = {name for c in countries() for name in (c.country, c.capital, c.language, c.continent)}
    assert not names & set(words.NAMES)
    assert len(words.POSITIVE) == len(words.NEGATIVE)
