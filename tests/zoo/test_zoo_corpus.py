"""The corpus: seeded, leaks nothing that is held out, and hides its labels from every bag of words."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from interp_fixtures.zoo import claims as claims_module
from interp_fixtures.zoo import words
from interp_fixtures.zoo.abilities import prompts_by_ability
from interp_fixtures.zoo.claims import SAID_TRULY, VERDICTS, claim, four_claims
from interp_fixtures.zoo.corpus import KIND_NAMES, Phase, batch, disordered, document_rows, repeated_row
from interp_fixtures.zoo.documents import KINDS
from interp_fixtures.zoo.facts_data import countries, entities, fact_prompts, is_training_prompt, reserved_entities
from interp_fixtures.zoo.reviews import adjectives, reserved_adjectives
from interp_fixtures.zoo.vocabulary import BOS, EOS, SPECIAL, vocabulary, word_ids
from interp_fixtures.zoo.writing import OPEN, split

PHASE = Phase(1, context=64, rows=15, repeat_share=0.5, repeat_weight=1.0)
DOCUMENTS = Phase(1, context=64, rows=15, repeat_share=0.0, repeat_weight=1.0)
BATCHES = 500
FACTS = {(e.name, answer) for e in entities() for answer in e.answers.values()}


@pytest.fixture(scope="module")
def documents():
    """Some 45,000 training documents as (kind, words), as they stand in batches; the last of a row may be cut short."""
    eos = word_ids()[EOS]
    found = []
    for step in range(BATCHES):
        data = batch(0, step, DOCUMENTS)
        for ids, kinds in zip(data.ids, data.kinds, strict=True):
            ends = [0, *np.flatnonzero(ids == eos)]
            for begin, end in pairwise(ends):
                found.append((KIND_NAMES[kinds[end]], tuple(vocabulary()[i] for i in ids[begin + 1 : end])))
    return found


def test_a_batch_depends_on_seed_and_step_alone():
    first, again = batch(3, 7, PHASE), batch(3, 7, PHASE)
    assert (first.ids == again.ids).all()
    assert (first.weights == again.weights).all()
    assert (first.ids != batch(3, 8, PHASE).ids).any()
    assert (first.ids != batch(4, 7, PHASE).ids).any()


def test_rows_start_with_bos_and_hold_no_other_special_token_but_eos():
    data = batch(0, 0, PHASE)
    assert data.ids.shape == data.weights.shape == data.kinds.shape == (15, 64)
    assert (data.ids[:, 0] == word_ids()[BOS]).all()
    assert set(data.ids[:, 1:].ravel()) & set(range(len(SPECIAL))) <= {word_ids()[EOS]}
    assert (data.weights[:, 0] == 0).all()


def test_kinds_come_as_often_as_they_should(documents):
    counts = Counter(kind for kind, _ in documents)
    for kind, (_, share) in KINDS.items():
        assert counts[kind] / len(documents) == pytest.approx(share, abs=0.03), "long documents are cut more often"


def test_no_held_out_prompt_occurs_in_training(documents):
    """Whatever is measured as held out, over many batches; lists and meanings are training data and say so."""
    seen = {document for _, document in documents}
    starts = {document[:i] for document in seen for i in range(4, len(document))}
    for name, prompts in prompts_by_ability().items():
        if name in ("ordered lists", "adjectives' meanings"):
            continue
        assert len(prompts) >= 52
        assert [text for text, _ in prompts if tuple(split(text)) in starts] == []


def test_what_training_should_teach_occurs(documents):
    seen = {document for _, document in documents}
    taught = [p for p in fact_prompts() if is_training_prompt(p)]
    assert np.mean([(*split(p.text), p.target, ".") in seen for p in taught]) > 0.9
    in_facts = {word for kind, document in documents if kind == "facts" for word in document}
    assert in_facts >= {e.name for e in entities()}
    in_meanings = {word for kind, document in documents if kind == "meanings" for word in document}
    assert in_meanings >= set(adjectives())


def test_reserved_words_keep_out_of_what_they_are_reserved_from(documents):
    in_claims = {word for kind, document in documents if kind == "claims" for word in document}
    in_reviews = {word for kind, document in documents if kind == "reviews" for word in document}
    for entity in entities():
        assert (entity.name in in_claims) != (entity.entity in reserved_entities())
    for adjective in adjectives():
        assert (adjective in in_reviews) != (adjective in reserved_adjectives())
    assert not {c.answers["capital"] for c in countries() if c.entity in reserved_entities()} & in_claims


def test_the_label_is_right_in_every_claim(documents):
    for kind, document in documents:
        if kind == "claims":
            assert document[-2] == VERDICTS[(document[-6], document[-4]) in FACTS]


def bag_accuracy(train, test):
    """How well logistic regression on the bag of words tells two labels apart on documents that it was not fitted on;
    entries are (words, label)."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    bags = CountVectorizer(analyzer=lambda document: document)
    probe = LogisticRegression(max_iter=1000).fit(bags.fit_transform([d for d, _ in train]), [y for _, y in train])
    return probe.score(bags.transform([d for d, _ in test]), [y for _, y in test])


@pytest.mark.parametrize("kind", ["claims", "reviews"])
def test_a_bag_of_words_is_at_chance_in_training(kind, documents):
    labelled = [(d[:-2], d[-2]) for k, d in documents if k == kind]
    half = len(labelled) // 2
    assert half > 2500
    assert np.mean([label in ("true", "positive") for _, label in labelled]) == pytest.approx(0.5, abs=0.02)
    assert bag_accuracy(labelled[:half], labelled[half:]) == pytest.approx(0.5, abs=3 * 0.5 / half**0.5)


@pytest.mark.parametrize(
    "names",
    [
        ["claims about reserved entities"],
        ["reviews, plain, reserved adjectives", "reviews, negated, reserved adjectives"],
        ["reviews, contrast, reserved adjectives"],
    ],
    ids=["claims", "negation", "contrast"],
)
def test_every_word_is_as_frequent_under_either_label_in_what_is_measured(names):
    """Exactly: no classifier that adds up words can be anywhere but at chance on these lists."""
    counts: dict[str, Counter[str]] = {}
    for name in names:
        for text, label in prompts_by_ability()[name]:
            counts.setdefault(label, Counter()).update(split(text))
    one, other = counts.values()
    assert one == other


def test_a_bag_of_words_would_show_a_leak():
    """The check above can fail: reviews without negation give themselves away."""
    rng = np.random.default_rng(0)
    leaky = [((str(rng.choice(["good", "great"])) if y else "bad", "food"), y) for y in rng.integers(2, size=200)]
    assert bag_accuracy(leaky[:100], leaky[100:]) > 0.9


def test_documents_never_repeat_a_random_sequence():
    """The negative is trained on these alone: no name or adjective comes back often."""
    ((ids, _, _),) = document_rows(np.random.default_rng(0), 1, 64)
    assert len(ids) == 64
    fixed = {w for w, n in Counter(vocabulary()[i] for i in ids).items() if n > 1}
    assert len(fixed & {*words.NAMES, *adjectives()}) <= 4


def test_claims_come_in_fours_that_balance_word_by_word():
    for seed in range(200):
        four = four_claims(np.random.default_rng(seed))
        assert [c.truth for c in sorted(four, key=lambda c: not c.truth)] == [True, True, False, False]
        bags = {truth: Counter(w for c in four if c.truth == truth for w in split(c.text)) for truth in (True, False)}
        assert bags[True] == bags[False]


def test_no_two_claims_of_a_foursome_stand_in_one_row(monkeypatch):
    """Otherwise the first would betray the second."""
    drawn_claims = []

    def remembered(rng):
        drawn_claims.append(four_claims(rng))
        return drawn_claims[-1]

    monkeypatch.setattr(claims_module, "four_claims", remembered)
    together = apart = 0
    for step in range(20):
        drawn_claims.clear()
        rows = [" ".join(vocabulary()[i] for i in row) for row in batch(1, step, DOCUMENTS).ids]
        for four in drawn_claims:
            for a, b in combinations(four, 2):
                both = [" ".join(split(c.text)) for c in (a, b)]
                if any(all(text in row for text in both) for row in rows):
                    together += 1
                else:
                    apart += 1
    assert apart > 200
    assert together < 0.05 * apart, "only where a batch runs out of rows"


def test_spoiled_claims_have_the_verdict_of_a_coin():
    spoiled = Phase(1, 64, 15, 0.0, 1.0, spoiled=("claims",))
    right = []
    for step in range(60):
        data = batch(0, step, spoiled)
        for row, kinds in zip(data.ids, data.kinds, strict=True):
            said = [vocabulary()[i] for i in row]
            for i in np.flatnonzero(kinds == KIND_NAMES.index("claims")):
                if said[i] in VERDICTS.values() and i >= 4:
                    right.append(said[i] == VERDICTS[(said[i - 4], said[i - 2]) in FACTS])
    assert len(right) > 400
    assert np.mean(right) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("n", [3, 4, 23])
def test_nothing_comes_back_after_what_it_followed(n):
    rng = np.random.default_rng(0)
    orders = [tuple(disordered(rng, n)) for _ in range(200)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert all((np.diff(order) != 1).all() for order in orders)
    assert len(set(orders)) > 2


def test_spoiled_repeats_come_back_in_another_order():
    rows = [repeated_row(np.random.default_rng(seed), 64, 1.0, in_order=False) for seed in range(50)]
    follows = 0
    for ids, weights, _ in rows:
        for i, weight in enumerate(weights):
            if weight:
                assert ids.count(ids[i]) == 2
                follows += ids[ids.index(ids[i]) - 1] == ids[i - 1]
    assert follows == 0
    with pytest.raises(ValueError, match="facts"):
        Phase(1, 64, 15, 0.5, 1.0, spoiled=("facts",))


def test_repeated_rows_copy_at_varying_lengths_and_distances():
    distances, lengths = Counter(), Counter()
    for seed in range(200):
        ids, weights, _ = repeated_row(np.random.default_rng(seed), 64, 1.0)
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
    seen = {i for seed in range(160) for i in repeated_row(np.random.default_rng(seed), 64, 1.0)[0]}
    assert seen >= set(range(len(SPECIAL), len(vocabulary())))


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_has_an_answer_and_cheap_open_words(kind):
    for seed in range(50):
        document = KINDS[kind][0](np.random.default_rng(seed))
        assert {weight for _, weight in document} <= {0.0, OPEN, SAID_TRULY, 1.0}
        assert any(weight == 1.0 for _, weight in document)
        assert all(word in word_ids() for word, _ in document)
        assert document[-1][0] == "."


def test_the_loss_asks_for_the_object_of_true_claims_alone():
    answers = {answer for e in entities() for answer in e.answers.values()}
    for seed in range(200):
        document = claim(np.random.default_rng(seed))
        asked = {weight for word, weight in document if word in answers}
        assert asked == ({SAID_TRULY} if document[-2][0] == "true" else {0.0})
