"""``assert_probe_auroc`` decides rightly on models whose best probe is known, and is not taken in by words or noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gpt2, mamba
from oracles import probe_gpt2
from prompts.words import metaspace_tokenizer

from interp_assert.assertions import InterpAssertionError, NotApplicable, assert_probe_auroc
from interp_assert.assertions.message import story
from interp_assert.assertions.probe_task import probe_task
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.measures import read_last
from interp_assert.models import Model, load, wrap
from interp_assert.prompts import SHIPPED_SETS, LabelledTexts, labelled_set, put_into_tokens
from interp_assert.stats import Outcome, Split, split_by_group
from interp_assert.stats.auroc import auroc

from .outcome import control, verdict_of

GROUPS = 300
TEXTS = probe_gpt2.texts(GROUPS)
KNOWING = probe_gpt2.build(3.0, GROUPS)


def outcomes(**options: Any) -> dict[str, Outcome]:
    verdict = verdict_of(assert_probe_auroc, **options)
    return {"claim": verdict.claim_outcome, **{c.name: c.outcome for c in verdict.controls}}


def test_a_model_that_knows_passes_with_every_control() -> None:
    verdict = assert_probe_auroc(KNOWING, TEXTS)
    assert verdict.outcome is Outcome.PASS
    assert [(c.name, c.outcome) for c in verdict.controls] == [
        ("bag_of_words", Outcome.PASS),
        ("embedding", Outcome.PASS),
        ("shuffled_labels", Outcome.PASS),
        ("diff_of_means", Outcome.PASS),
        ("random_weights", Outcome.PASS),
    ]
    assert verdict.check == "probes/order"
    assert verdict.layer == "block 2 of 3"
    low, high = verdict.details["auroc_interval"]
    assert low < probe_gpt2.theory(3.0) < high
    assert [row["block"] for row in verdict.details["by_block"]] == [1, 2, 3]
    assert verdict.details["by_block"][0]["test"] == 0.5
    assert verdict.details["groups"] == {"train": 105, "select": 45, "test": 150}
    assert verdict.details["pairs"] == verdict.measurements[0].n == 75
    assert verdict.n <= 75
    json.dumps(verdict.as_dict(), allow_nan=False)


@pytest.mark.parametrize("probe", ["linear", "diff_of_means", "mlp"])
def test_an_absolute_floor_is_decided_on_either_side(probe: str) -> None:
    if probe == "mlp":  # 199 refits of it take long: two blocks, fewer texts
        model, texts, options = probe_gpt2.build(5.0, 160, n_blocks=2), probe_gpt2.texts(160), {"layer": 2, "twins": 2}
    else:
        model, texts, options = KNOWING, TEXTS, {"twins": 5}
    found = outcomes(model=model, data=texts, floor=0.8, probe=probe, **options)
    assert found["claim"] is Outcome.PASS
    assert found["shuffled_labels"] is Outcome.PASS
    assert ("diff_of_means" in found) == (probe != "diff_of_means")
    weak = probe_gpt2.build(0.3, GROUPS)
    if probe == "linear":
        assert verdict_of(assert_probe_auroc, weak, TEXTS, floor=0.95).claim_outcome is Outcome.FAIL


def test_a_model_that_knows_nothing_never_passes() -> None:
    for seed in range(3):
        verdict = verdict_of(assert_probe_auroc, probe_gpt2.build(0.0, GROUPS, seed=seed), TEXTS, seed=seed, twins=2)
        assert verdict.outcome is not Outcome.PASS
        assert control(verdict, "shuffled_labels").outcome is not Outcome.PASS


def test_a_label_in_the_bag_of_words_is_refused_however_well_it_is_read() -> None:
    """The probe reads the order of the words, and would pass; but each class has a word of its own as well."""
    texts = probe_gpt2.texts(GROUPS, ends=("up .", "down ."), name="spoiled")
    model = probe_gpt2.build(6.0, GROUPS)
    for floor in (None, 0.8):
        verdict = verdict_of(assert_probe_auroc, model, texts, floor=floor, twins=2)
        assert verdict.details["auroc"] > 0.99
        assert control(verdict, "bag_of_words").outcome is Outcome.FAIL
        assert verdict.outcome is Outcome.FAIL
        assert "bag_of_words does as well" in verdict.reason


def test_a_label_in_the_last_word_is_refused_by_the_embedding_layer() -> None:
    """Words of one class are many and none is seen twice, so no count of them helps; their embeddings are alike."""
    groups = 150
    texts = LabelledTexts(
        "endings",
        tuple(f"b0 {letter}{i}" for i in range(1, groups) for letter in "ab"),
        (1, 0) * (groups - 1),
        tuple(f"g{i}" for i in range(1, groups) for _ in "ab"),
    )
    verdict = verdict_of(assert_probe_auroc, probe_gpt2.build(6.0, groups), texts, twins=2)
    assert verdict.details["auroc"] > 0.99
    assert control(verdict, "bag_of_words").outcome is Outcome.PASS
    assert control(verdict, "embedding").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def test_what_random_weights_read_as_well_is_refused() -> None:
    """Which of two words, the same in every text, comes first: the positions of a random model tell it."""
    groups = 200
    texts = LabelledTexts(
        "positions",
        tuple(f"a{i} {order}" for i in range(groups) for order in ("▁! ▁up ▁.", "▁up ▁! ▁.")),
        (0, 1) * groups,
        tuple(f"g{i}" for i in range(groups) for _ in range(2)),
    )
    texts = LabelledTexts(texts.name, tuple(t.replace("▁", "") for t in texts.texts), texts.labels, texts.groups)
    known = probe_gpt2.tokenizer(groups)
    model = gpt2(tokenizer=known, vocab_size=len(known), bos_token_id=1, eos_token_id=2, n_embd=64)
    verdict = verdict_of(assert_probe_auroc, model, texts)
    assert verdict.claim_outcome is Outcome.PASS
    assert verdict.details["auroc"] > 0.95
    assert control(verdict, "random_weights").outcome is not Outcome.PASS
    assert verdict.outcome is not Outcome.PASS


def spaced(name: str) -> LabelledTexts:
    """A shipped set whose full stops are words, for a vocabulary of words."""
    data = labelled_set(name)
    texts = tuple(text.replace(".", " .") for text in data.texts)
    return LabelledTexts(name, texts, data.labels, data.groups, data.classes)


def random_reader(texts: Sequence[str], **config: Any) -> Model:
    """A random GPT-2 with a word of its vocabulary for every word of the texts, as no real tokenizer has."""
    words = sorted({f"{'▁' if i else ''}{word}" for text in texts for i, word in enumerate(text.split())})
    known = metaspace_tokenizer(words)
    return gpt2(tokenizer=known, vocab_size=len(known), bos_token_id=1, eos_token_id=2, **config)


def test_a_random_model_passes_no_shipped_claim() -> None:
    for name in SHIPPED_SETS:
        data = spaced(name)
        verdict = verdict_of(assert_probe_auroc, random_reader(data.texts, n_embd=64), data, twins=2, budget="quick")
        assert verdict.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE), verdict


def of_gpt2_small(texts: Sequence[str]) -> Model:
    """Twelve blocks of width 768, random as transformers makes them."""
    return random_reader(texts, n_embd=768, n_layer=12, n_head=12, initializer_range=0.02)


def test_a_random_gpt2_small_passes_no_claim() -> None:
    """What its positions tell it reads nearly without fault, beyond words, embedding and chance: the twins refuse it.
    Of sixteen sentences nothing is decided.
    """
    order = [(f"a{i} {words}", label, f"g{i}") for i in range(90) for label, words in enumerate(("! up .", "up ! ."))]
    data = LabelledTexts("positions", *zip(*order, strict=True))
    model = of_gpt2_small(data.texts)
    verdict = verdict_of(assert_probe_auroc, model, data, twins=2)
    assert verdict.details["auroc"] > 0.95
    assert verdict.claim_outcome is Outcome.PASS
    found = {c.name: c.outcome for c in verdict.controls}
    assert all(found[name] is Outcome.PASS for name in ("bag_of_words", "embedding", "shuffled_labels"))
    assert found["random_weights"] is not Outcome.PASS
    assert verdict.outcome is not Outcome.PASS
    few = verdict_of(assert_probe_auroc, model, data.only(range(16)), twins=1)
    assert few.claim_outcome is Outcome.INCONCLUSIVE
    assert few.outcome is not Outcome.PASS


@pytest.mark.calibration
def test_a_random_gpt2_small_passes_no_shipped_claim() -> None:
    """Minutes."""
    sets = [spaced(name) for name in SHIPPED_SETS]
    model = of_gpt2_small([text for data in sets for text in data.texts])
    for data in sets:
        verdict = verdict_of(assert_probe_auroc, model, data, twins=2, budget="quick")
        told = {c.name: c.outcome.value for c in verdict.controls}
        print(
            data.name, verdict.outcome, verdict.claim_outcome, round(verdict.details["auroc"], 3), verdict.layer, told
        )
        assert verdict.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE), verdict


def test_sixteen_sentences_that_are_told_apart_in_training_decide_nothing() -> None:
    """What a training AUROC says of a random model: everything."""
    data = spaced("truth")
    sixteen = data.only(
        [i for i, group in enumerate(data.groups) if group in list(dict.fromkeys(data.groups))[:8]][:16]
    )
    grouped = LabelledTexts("sixteen", sixteen.texts, sixteen.labels, tuple(str(i // 2) for i in range(16)))
    model = random_reader(data.texts, n_embd=64)
    rows = put_into_tokens(grouped, model)
    [last] = read_last(model, rows.rows, "blocks.1.resid_post").values()
    fitted = last @ np.linalg.lstsq(last, rows.labels - 0.5, rcond=None)[0]
    assert auroc(fitted, rows.labels) >= 0.98
    verdict = verdict_of(assert_probe_auroc, model, grouped)
    assert verdict.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    assert verdict.claim_outcome is Outcome.INCONCLUSIVE
    assert verdict.n == verdict.details["pairs"] == 2


def test_one_block_or_one_site_is_judged_alone() -> None:
    assert outcomes(model=KNOWING, data=TEXTS, layer=np.int64(1), twins=2)["claim"] is not Outcome.PASS
    verdict = assert_probe_auroc(KNOWING, TEXTS, layer="blocks.1.attn.out")
    assert verdict.layer == "blocks.1.attn.out"
    assert len(verdict.details["by_block"]) == 1
    best = assert_probe_auroc(KNOWING, TEXTS, layer="blocks.*.attn.out")
    assert best.layer == "blocks.1.attn.out"
    assert len(best.details["by_block"]) == 3


def test_a_recurrent_model_is_read_too() -> None:
    known = probe_gpt2.tokenizer(60)
    module = mamba().module
    module.resize_token_embeddings(len(known))
    found = verdict_of(assert_probe_auroc, wrap(module, known), probe_gpt2.texts(60), twins=2)
    assert found.outcome is not Outcome.PASS
    assert len(found.details["by_block"]) == 2


def test_the_budget_is_a_number_of_groups_and_says_so() -> None:
    verdict = verdict_of(assert_probe_auroc, KNOWING, TEXTS, budget="quick", twins=2)
    assert sum(verdict.details["groups"].values()) == 128
    assert "the budget allows 128 of 300 groups" in verdict.details["data_note"]
    small = verdict_of(assert_probe_auroc, KNOWING, TEXTS, floor=0.8, budget=60, twins=2)
    assert small.claim_outcome is Outcome.INCONCLUSIVE
    assert small.needed is not None
    assert small.needed > small.n
    assert "even without a fault it takes 34 clusters, and there were 15" in small.reason


def test_what_is_read_and_put_into_tokens_is_bounded_by_the_budget() -> None:
    """Of 60 groups of 100 texts eight times the seven of the budget are put into tokens, and of seven 16 texts read."""
    words = [f"a{i} b{j}" for i in range(100) for j in range(60)]
    many = LabelledTexts("many", words, [i % 2 for i in range(6000)], [f"g{i // 100}" for i in range(6000)])
    model, seen = probe_gpt2.build(3.0, 100), []
    encode = type(model.tokenizer).__call__

    def counting(self: Any, texts: list[str], **options: Any) -> Any:
        seen.append(len(texts))
        return encode(self, texts, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.tokenizer), "__call__", counting)
        task = probe_task(model, many, "best", None, 7, 0)
    assert not isinstance(task, str)
    assert seen == [5600]  # 8 * 7 of 60 groups of 100
    assert len(task.rows.rows) == 7 * 16
    assert "at most 16 texts of a group" in task.rows.note


def test_a_split_of_ones_own_is_used_as_it_is() -> None:
    split = split_by_group(TEXTS.labels, TEXTS.groups, shares=(0.5, 0.1, 0.4), seed=9)
    verdict = assert_probe_auroc(KNOWING, TEXTS, split=split)
    assert verdict.details["texts"] == {"train": 300, "select": 60, "test": 240}
    cut = Split(split.train[:-1], split.select, np.concatenate([split.test, split.train[-1:]]))
    with pytest.raises(UsageProblem, match=r"group 'g\d+' is on both sides of the split, in train and in test"):
        assert_probe_auroc(KNOWING, TEXTS, split=cut)


def test_a_seed_replays_and_another_one_parts_anew() -> None:
    one, two = (verdict_of(assert_probe_auroc, KNOWING, TEXTS, seed=5, twins=2).as_dict() for _ in range(2))
    for record in (one, two):
        for volatile in ("seconds", "forward_passes", "tokens"):
            record.pop(volatile)
    assert one == two
    other = verdict_of(assert_probe_auroc, KNOWING, TEXTS, seed=6, twins=2)
    assert other.as_dict()["details"]["auroc"] != one["details"]["auroc"]


def test_the_same_texts_cost_no_further_passes() -> None:
    model = probe_gpt2.build(3.0, 100)
    texts = probe_gpt2.texts(100)
    first = verdict_of(assert_probe_auroc, model, texts, twins=2)
    again = verdict_of(assert_probe_auroc, model, texts, probe="diff_of_means", twins=2)
    assert first.cost.forward_passes == 3  # 200 rows of one length: the model and two twins
    assert again.cost.forward_passes == 2  # the twins only


def test_words_that_the_model_does_not_know_make_it_not_applicable() -> None:
    fewer = probe_gpt2.build(3.0, 70)
    with pytest.raises(NotApplicable, match="70 of 300 groups are in its vocabulary, at least 80 are needed"):
        assert_probe_auroc(fewer, TEXTS)
    with pytest.raises(NotApplicable, match="0 of 355 groups are in its vocabulary"):
        assert_probe_auroc(fewer, "truth")
    enough = verdict_of(assert_probe_auroc, probe_gpt2.build(4.0, 120), TEXTS, twins=2)
    assert sum(enough.details["groups"].values()) == 120
    assert len(enough.details["dropped"]) == 180


def test_what_a_model_lacks_makes_it_not_applicable() -> None:
    cases: list[tuple[str, Model, dict[str, Any]]] = [
        ("no tokenizer", gpt2(), {}),
        ("does not fit its context of 8", KNOWING, {"data": longer()}),
        ("ssm.out", KNOWING, {"layer": "blocks.0.ssm.out"}),
        ("logits are no activations", KNOWING, {"layer": "logits"}),
    ]
    for said, model, options in cases:
        with pytest.raises(NotApplicable, match=said):
            assert_probe_auroc(model, **{"data": TEXTS, **options})


def longer() -> LabelledTexts:
    texts = list(TEXTS.texts)
    texts[7] = texts[7].replace(" .", " ." * 9)
    return LabelledTexts("longer", tuple(texts), TEXTS.labels, TEXTS.groups)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"floor": 1.0}, "floor=1.0"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"layer": 0}, "layer=0 must be 'best', a block from 1 to 3"),
        ({"layer": 4}, "from 1 to 3"),
        ({"layer": True}, "layer=True"),
        ({"probe": "svm"}, "no probe 'svm'; there are linear, diff_of_means, mlp"),
        ({"data": "humour"}, "no shipped data set 'humour'"),
        ({"data": ["a", "b"]}, "data is a list; give LabelledTexts"),
        ({"data": "mine.csv"}, r"no shipped set; of a file give read_labelled\('mine.csv'\)"),
        ({"split": ([0, 1], [2, 3], [4, 5])}, r"split is a tuple; give Split\(train, select, test\)"),
        ({"data": TEXTS.only([0, 1, 2, 3])}, "2 groups of class 0: train, select and test need one each"),
        ({"data": TEXTS.only(range(12))}, "the test part of 'order' has 3 groups, which make 1 disjoint pairs"),
        ({"twins": 0}, "twins=0"),
        ({"scheme": "sorcery"}, "sorcery"),
        ({"budget": "huge"}, "unknown budget"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_impossible_requests_are_named(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageProblem, match=match):
        assert_probe_auroc(KNOWING, **{"data": TEXTS, **options})


def test_activations_that_are_not_finite_are_an_error() -> None:
    model = probe_gpt2.build(3.0, 100)
    _ = model.anatomy
    with torch.no_grad():
        model.module.transformer.wte.weight[model.tokenizer.convert_tokens_to_ids("a7"), 0] = float("nan")
    with pytest.raises(NonFiniteMeasurement, match=r"of 'a7 b7 \.' \(1 of 200 rows\)"):
        assert_probe_auroc(model, probe_gpt2.texts(100))


def test_the_message_tells_the_whole_story() -> None:
    with pytest.raises(InterpAssertionError) as failure:
        assert_probe_auroc(probe_gpt2.build(0.0, 100), probe_gpt2.texts(100), twins=2)
    told = str(failure.value)
    for part in ("probes/order", "bag_of_words", "embedding", "shuffled_labels", "random_weights", "by block", "pairs"):
        assert part in told
    assert "no model   words 0.500, words with lengths and ends 0.500, words with their pairs 0.500; held" in told


def test_it_says_how_to_come_by_more_clusters() -> None:
    few = verdict_of(assert_probe_auroc, KNOWING, TEXTS.only(range(100)), floor=0.8, twins=1)
    told = story(few)
    assert f"need {few.needed} clusters in all; a cluster is two groups of the test part, which has 25 of 50" in told
    assert "give data of more groups" in told
    assert "raise the budget" in story(verdict_of(assert_probe_auroc, KNOWING, TEXTS, floor=0.8, twins=1, budget=60))


def test_only_a_shipped_set_is_named_in_the_line_that_repeats_the_claim() -> None:
    model = load("zoo:gpt2")
    mine = LabelledTexts("truth", TEXTS.texts, TEXTS.labels, TEXTS.groups)
    for data, said in (
        ("number", "data='number', "),
        (labelled_set("number"), "data='number', "),
        (mine, "data=data, "),
    ):
        assert said in verdict_of(assert_probe_auroc, model, data, twins=1).details["reproduce"]
