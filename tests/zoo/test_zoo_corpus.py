"""The corpus: seeded, leaks nothing that is held out, and hides its labels from a bag of words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from interp_fixtures.zoo import words
from interp_fixtures.zoo.corpus import Phase, batch, document_row, repeated_row
from interp_fixtures.zoo.documents import (
    KINDS,
    OPEN,
    agreement_pairs,
    claim,
    claimants,
    is_positive,
    review,
    review_text,
    reviewed_pairs,
    split,
)
from interp_fixtures.zoo.facts_data import RELATIONS, fact_prompts, held_out, is_training_prompt
from interp_fixtures.zoo.vocabulary import BOS, SPECIAL, vocabulary, word_ids

PHASE = Phase(1, context=64, rows=15, repeat_share=0.5, repeat_weight=1.0)
DOCUMENTS = Phase(1, context=64, rows=15, repeat_share=0.0, repeat_weight=1.0)


@pytest.fixture(scope="module")
def corpus_text():
    """About 290,000 words of training documents, in training order."""
    rows = [row for step in range(300) for row in batch(0, step, DOCUMENTS).ids]
    return " ".join(vocabulary()[i] for row in rows for i in row)


def test_a_batch_depends_on_seed_and_step_alone():
    first, again = batch(3, 7, PHASE), batch(3, 7, PHASE)
    assert (first.ids == again.ids).all()
    assert (first.weights == again.weights).all()
    assert (first.ids != batch(3, 8, PHASE).ids).any()
    assert (first.ids != batch(4, 7, PHASE).ids).any()


def test_rows_start_with_bos_and_hold_no_other_special_token_but_eos():
    data = batch(0, 0, PHASE)
    assert data.ids.shape == data.weights.shape == (15, 64)
    assert (data.ids[:, 0] == word_ids()[BOS]).all()
    assert set(data.ids[:, 1:].ravel()) & set(range(len(SPECIAL))) <= {word_ids()["<eos>"]}
    assert (data.weights[:, 0] == 0).all()


def test_held_out_facts_never_occur(corpus_text):
    hidden = [p for p in fact_prompts() if not is_training_prompt(p)]
    found = [p for p in hidden if f" {' '.join(split(p.text))} {p.target} " in corpus_text]
    assert found == []


def test_training_facts_do_occur(corpus_text):
    taught = [p for p in fact_prompts() if is_training_prompt(p)]
    share = np.mean([f" {' '.join(split(p.text))} {p.target} " in corpus_text for p in taught])
    assert share > 0.9


def test_every_fact_document_states_the_truth():
    fact = KINDS["facts"][0]
    true = {(tuple(split(p.text)), p.target) for p in fact_prompts()}
    for seed in range(300):
        document = fact(np.random.default_rng(seed))
        said = [word for word, _ in document]
        assert (tuple(said[:-2]), said[-2]) in true
        assert document[-2][1] == 1.0


def test_a_country_kept_from_claims_is_never_claimed_about():
    for relation in RELATIONS:
        kept, used = claimants(relation, True), claimants(relation, False)
        assert not set(kept) & set(used)
        assert len(kept) >= 5
    said = [[w for w, _ in claim(np.random.default_rng(seed))] for seed in range(2000)]
    for relation, mark in zip(RELATIONS, ("governed", "speak", "belongs"), strict=True):
        about = {w for document in said if mark in document for w in document}
        assert not {c.country for c in claimants(relation, True)} & about


def test_claims_are_half_true_and_the_truth_is_right():
    answers = {(c.country, c.answer(r)) for r in RELATIONS for c in claimants(r, False)}
    truths = []
    for seed in range(2000):
        document = claim(np.random.default_rng(seed))
        objects = [w for w, weight in document if weight == 0]
        assert len(objects) == 1, "only the object of a claim is kept from the loss"
        said = [w for w, _ in document]
        truth = any((w, objects[0]) in answers for w in said)
        assert said[-2] == ("true" if truth else "false")
        truths.append(truth)
    assert 0.45 < np.mean(truths) < 0.55


def test_the_object_of_a_claim_betrays_little_of_its_truth():
    seen: dict[str, list[bool]] = {}
    for seed in range(6000):
        document = claim(np.random.default_rng(seed))
        seen.setdefault(next(w for w, weight in document if weight == 0), []).append(document[-2][0] == "true")
    guessed = sum(max(sum(truths), len(truths) - sum(truths)) for truths in seen.values()) / 6000
    assert guessed < 0.6


def test_the_label_of_a_review_is_not_in_its_bag_of_words():
    """Contrast reviews of both labels share every bag, and over all reviews no vote by adjective is near the truth."""
    for good, bad in zip(words.POSITIVE, words.NEGATIVE, strict=True):
        one = review_text("contrast", "food", good, bad)
        other = review_text("contrast", "food", bad, good)
        assert Counter(split(one)) == Counter(split(other))
        assert is_positive("contrast", good) != is_positive("contrast", bad)
    votes: dict[frozenset[str], Counter[str]] = {}
    for seed in range(4000):
        said = [w for w, _ in review(np.random.default_rng(seed))]
        polarity = {"+" for w in said if w in words.POSITIVE} | {"-" for w in said if w in words.NEGATIVE}
        votes.setdefault(frozenset(polarity), Counter())[said[-2]] += 1
    right = sum(max(c.values()) for c in votes.values()) / 4000
    assert right < 0.65


def test_held_out_reviews_and_agreement_do_not_overlap_training():
    assert not set(reviewed_pairs(True)) & set(reviewed_pairs(False))
    assert not set(agreement_pairs(True)) & set(agreement_pairs(False))
    for seed in range(500):
        said = [w for w, _ in review(np.random.default_rng(seed))]
        adjective = next(w for w in said if w in words.POSITIVE + words.NEGATIVE)
        assert not held_out("review", said[3], adjective)


def test_documents_never_repeat_a_random_sequence():
    """The negative is trained on these alone: no five words of a row come back but for what every document shares."""
    ids, _ = document_row(np.random.default_rng(0), 64)
    assert len(ids) == 64
    fixed = {w for w, n in Counter(vocabulary()[i] for i in ids).items() if n > 1}
    open_words = {c for c in fixed if c in words.NAMES + words.POSITIVE + words.NEGATIVE}
    assert len(open_words) <= 4


def test_repeated_rows_copy_at_varying_lengths_and_distances():
    distances, lengths = Counter(), Counter()
    for seed in range(200):
        ids, weights = repeated_row(np.random.default_rng(seed), 64, 1.0)
        assert len(ids) == len(weights) == 64
        assert min(ids[1:]) >= len(SPECIAL)
        run = 0
        for i, weight in enumerate(weights):
            if weight:
                earlier = [j for j in range(i) if ids[j] == ids[i]]
                assert len(earlier) == 1, "exactly one earlier occurrence, so the copy is determined"
                assert ids[earlier[0] - 1] == ids[i - 1], "and its predecessor matches"
                distances[i - earlier[0]] += 1
                run += 1
            elif run:
                lengths[run + 1] += 1
                run = 0
    assert len(distances) > 15
    assert max(lengths) >= 20, "as long as the copies that are measured"
    assert max(distances.values()) < 0.25 * distances.total(), "no fixed offset would do"


def test_every_word_of_the_vocabulary_occurs_in_repeats():
    seen = {i for seed in range(120) for i in repeated_row(np.random.default_rng(seed), 64, 1.0)[0]}
    assert seen >= set(range(len(SPECIAL), len(vocabulary())))


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_has_an_answer_and_cheap_open_words(kind):
    for seed in range(50):
        document = KINDS[kind][0](np.random.default_rng(seed))
        assert {weight for _, weight in document} <= {0.0, OPEN, 1.0}
        assert any(weight == 1.0 for _, weight in document)
        assert all(word in word_ids() for word, _ in document)
        assert document[-1][0] == "."
