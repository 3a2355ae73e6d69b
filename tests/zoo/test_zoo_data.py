"""The entities, adjectives and templates: unique, single words, spread evenly, enough on each side of every split."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from interp_fixtures.zoo import invented, words
from interp_fixtures.zoo.facts_data import (
    DATA,
    RELATIONS,
    countries,
    entities,
    fact_prompts,
    held_out,
    is_new_template,
    is_training_prompt,
    lands,
    reserved_entities,
    templates,
)
from interp_fixtures.zoo.reviews import adjectives, reserved_adjectives, reviewing
from interp_fixtures.zoo.vocabulary import vocabulary
from interp_fixtures.zoo.writing import split

DECIDES_NINE_TENTHS = 52
"""A perfect finite list of so many decides a floor of .9 at 38 draws."""


def test_there_are_enough_entities_and_each_is_named_once():
    assert len(countries()) >= 52
    assert len(entities()) >= 240
    names = [e.name for e in entities()] + [e.answers["capital"] for e in countries()]
    names += {e.answers["language"] for e in countries()}
    assert max(Counter(names).values()) == 1
    assert max(Counter(e.entity for e in entities()).values()) == 1


def test_every_name_is_one_word():
    for entity in entities():
        for name in (entity.entity, entity.name, *entity.answers.values()):
            assert re.fullmatch(r"\w+", name)


def test_lands_are_what_their_code_makes():
    assert (DATA / "lands.csv").read_text(encoding="utf-8") == invented.lands_csv()


def test_no_answer_about_lands_is_a_good_guess():
    for relation, most in (("language", 5), ("continent", 60)):
        counts = Counter(land.answers[relation] for land in lands())
        assert max(counts.values()) <= most
        assert set(counts) == {c.answers[relation] for c in countries()}
    assert all("capital" not in land.answers for land in lands())


def test_enough_lands_are_reserved_and_no_country():
    kept = reserved_entities()
    assert len(kept) >= DECIDES_NINE_TENTHS
    assert kept < {land.entity for land in lands()}


def test_enough_adjectives_half_of_them_praise_and_enough_are_reserved():
    assert len(adjectives()) == 160
    assert len(reserved_adjectives()) >= DECIDES_NINE_TENTHS
    for kept_back in (True, False):
        assert len(reviewing(True, kept_back)) == len(reviewing(False, kept_back))
    assert sorted(adjectives()) == sorted(
        reviewing(True, True) + reviewing(False, True) + reviewing(True, False) + reviewing(False, False)
    )


def test_the_vocabulary_stays_small_and_every_word_is_one_token():
    assert len(vocabulary()) <= 750
    assert len(set(vocabulary())) == len(vocabulary())
    assert all(split(word) == [word] for word in vocabulary()[4:])


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_has_templates_that_end_before_the_answer(relation):
    assert set(templates()) == set(RELATIONS)
    texts = templates()[relation]
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
    assert len(by_fact) == sum(len(e.answers) for e in entities())
    assert not any(is_training_prompt(p) for p in fact_prompts() if is_new_template(p))


def test_the_split_depends_on_the_words_alone():
    assert held_out("fact", "france", "capital", "0") == held_out("fact", "france", "capital", "0")
    shares = [held_out("anything", str(i)) for i in range(2000)]
    assert 0.17 < sum(shares) / 2000 < 0.23


def test_word_lists_do_not_overlap():
    lists = (tuple(adjectives()), words.REVIEWED, words.DEGREES, words.QUALITIES, words.PLACES, words.GIFTS)
    assert sum(map(len, lists)) == len({word for group in lists for word in group})
    names = {name for e in entities() for name in (e.name, *e.answers.values())}
    assert not names & set(words.NAMES)
