"""Each way in which probes have been judged wrongly is put into the code, and a check that the real code passes must
fail: see ``test_mutants``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gpt2
from oracles import probe_gpt2

import interp_assert.assertions.probe_auroc as assertion
import interp_assert.assertions.probe_task as probe_task
import interp_assert.measures.activations as activations
import interp_assert.measures.probes as probes
from interp_assert.assertions import assert_probe_auroc
from interp_assert.controls import shuffled_labels
from interp_assert.measures import read_last
from interp_assert.measures.probes import ProbeProblem, ProbeScores
from interp_assert.prompts import LabelledTexts
from interp_assert.stats import Outcome, Split, split_by_group

from .outcome import control, verdict_of

auroc = import_module("interp_assert.stats.auroc")
counting = import_module("interp_assert.controls.bag_of_words")
shuffling = import_module("interp_assert.controls.shuffled_labels")
twins = import_module("interp_assert.models.twins")

real_fit, real_block, real_pair_up = ProbeProblem.fit, probes._Block.of, auroc.pair_up


def noise(layers: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, Split]:
    rng = np.random.default_rng(seed)
    labels = np.arange(120) % 2
    features = {str(layer): rng.normal(size=(120, 100)).astype(np.float32) for layer in range(layers)}
    return features, labels, split_by_group(labels, [str(i) for i in range(120)])


def noise_is_at_chance() -> None:
    """The best of 12 layers of noise; over 20 draws the standard error is .015."""
    found = []
    for seed in range(20):
        scores = probes.probe_scores(*noise(12, seed), kind="diff_of_means")
        found.append(scores.test[scores.best])
    assert abs(np.mean(found) - 0.5) < 0.05


def the_test_part_is_only_scored() -> None:
    features, labels, split = noise(2, 0)
    before = probes.probe_scores(features, labels, split)
    for values in features.values():
        values[split.test] = 7.0 * values[split.test] + 3.0
    after = probes.probe_scores(features, labels, split)
    np.testing.assert_array_equal(before.scores[:, split.train], after.scores[:, split.train])


def labels_of_entities_are_not_learned_by_heart() -> None:
    """Random weights, 60 entities of a random label in eight texts each: every text is known by its entity."""
    known = probe_gpt2.tokenizer(60)
    model = gpt2(tokenizer=known, vocab_size=len(known), bos_token_id=1, eos_token_id=2, n_embd=256)
    marks = np.random.default_rng(0).permutation(np.arange(60) % 2)
    rows = [(f"b{j}" + 3 * f" a{i}", int(marks[i]), f"g{i}") for i in range(60) for j in range(8)]
    texts, labels, groups = zip(*rows, strict=True)
    verdict = verdict_of(assert_probe_auroc, model, LabelledTexts("entities", texts, labels, groups), twins=1)
    assert verdict.details["auroc"] < 0.7


def labels_of_entities_are_shuffled_among_entities() -> None:
    rng = np.random.default_rng(1)
    labels, groups = np.repeat(np.arange(60) % 2, 3), [f"g{i}" for i in range(60) for _ in range(3)]
    split = split_by_group(labels, groups)
    features = rng.normal(size=(180, 8)) + 1.5 * (labels[:, None] - 0.5) * (np.arange(8) < 4)
    problem = ProbeProblem({"x": features.astype(np.float32)}, split)
    own = float(problem.fit(labels).test[0])
    result = shuffled_labels(own, problem.select_and_test, labels, groups, split, level=0.01)
    assert result.outcome is Outcome.PASS


def a_knowing_model_passes() -> None:
    verdict = verdict_of(assert_probe_auroc, probe_gpt2.build(3.0, 200), probe_gpt2.texts(200))
    assert verdict.outcome is Outcome.PASS
    assert verdict.layer == "block 2 of 3"


def words_are_refused() -> None:
    spoiled = probe_gpt2.texts(200, ends=("up .", "down ."))
    verdict = verdict_of(assert_probe_auroc, probe_gpt2.build(6.0, 200), spoiled, twins=1)
    assert control(verdict, "bag_of_words").outcome is Outcome.FAIL


def pairs_are_of_different_groups() -> None:
    """Examples of a group share a shift: their own pairs are nearly always won, others not."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(200), 2)
    labels = np.tile([0, 1], 200)
    scores = 3.0 * rng.normal(size=200)[groups] + labels
    values = auroc.disjoint_pairs(scores, labels, groups.astype(str).tolist())[1]
    assert abs(values.mean() - auroc.auroc(scores, labels)) < 0.15


def ties_are_half_won() -> None:
    pairs = auroc.pair_up([0, 1] * 4, [str(i) for i in range(8)])
    assert pairs.wins(np.zeros(8)).tolist() == [0.5] * 4


def changed_weights_are_read_anew() -> None:
    model, rows = gpt2(), [(1, 2, 3), (4, 5, 6)]
    first = read_last(model, rows, "blocks.1.resid_post")["blocks.1.resid_post"]
    with torch.no_grad():
        model.module.transformer.h[0].mlp.c_fc.weight.mul_(2.0)
    assert not np.allclose(first, read_last(model, rows, "blocks.1.resid_post")["blocks.1.resid_post"])


def other_texts_are_read_anew() -> None:
    model = gpt2()
    one, two = (read_last(model, [(1, i)], "blocks.1.resid_post")["blocks.1.resid_post"] for i in (2, 3))
    assert not np.allclose(one, two)


def on_the_training_part(self: ProbeProblem, labels: Any, **options: Any) -> ProbeScores:
    fitted, y = real_fit(self, labels, **options), np.asarray(labels)
    return replace(fitted, test=np.atleast_1d(auroc.auroc(fitted.scores[:, self.split.train], y[self.split.train])))


def best_of_the_test_part(self: ProbeProblem, labels: Any, **options: Any) -> ProbeScores:
    fitted = real_fit(self, labels, **options)
    return replace(fitted, best=int(fitted.test.argmax()))


def standardised_on_all(features: Any, sites: list[str], split: Split, standardise: bool) -> Any:
    every = np.sort(np.concatenate([split.train, split.select, split.test]))
    block = real_block(features, sites, Split(every, split.select, split.test), standardise)
    return replace(block, train=block.train[:, np.searchsorted(every, split.train)])


def by_example(labels: Any, groups: Any, **options: Any) -> Split:
    return split_by_group(labels, [str(i) for i in range(len(groups))], **options)


def within_groups(labels: Any, groups: Any, split: Split, rng: np.random.Generator, count: int = 1) -> np.ndarray:
    places = {group: [i for i, other in enumerate(groups) if other == group] for group in groups}
    shuffled = np.tile(labels, (count, 1))
    for row in shuffled:
        for members in places.values():
            row[members] = rng.permutation(labels[members])
    return shuffled


def of_one_group(labels: Any, groups: Any, seed: int = 0) -> Any:
    names = list(dict.fromkeys(groups))
    first = [[next(i for i, g in enumerate(groups) if g == name and labels[i] == y) for name in names] for y in (1, 0)]
    return auroc.Pairs(tuple(names), np.array(first[0]), np.array(first[1]))


def aliased(model: Any, **options: Any) -> Any:
    return iter([model] * 5)


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "AUROC of the training part": (ProbeProblem, "fit", on_the_training_part, noise_is_at_chance),
    "layer selected on the test part": (ProbeProblem, "fit", best_of_the_test_part, noise_is_at_chance),
    "standardised on all parts": (probes._Block, "of", standardised_on_all, the_test_part_is_only_scored),
    "parts cut through groups": (
        probe_task,
        "split_by_group",
        by_example,
        labels_of_entities_are_not_learned_by_heart,
    ),
    "labels shuffled within groups": (
        shuffling,
        "shuffle_labels",
        within_groups,
        labels_of_entities_are_shuffled_among_entities,
    ),
    "pairs within a group": (auroc, "pair_up", of_one_group, pairs_are_of_different_groups),
    "ties are won": (
        auroc.Pairs,
        "wins",
        lambda self, scores: (scores[self.positive] >= scores[self.negative]).astype(float),
        ties_are_half_won,
    ),
    "twins alias the trained weights": (twins, "twins", aliased, a_knowing_model_passes),
    "words not counted": (
        counting,
        "_counted",
        lambda bags, split, most: np.zeros((len(list(bags)), 1), dtype=np.float32),
        words_are_refused,
    ),
    "weights not looked at": (activations, "fingerprint", lambda module: "same", changed_weights_are_read_anew),
    "rows not looked at": (activations, "_digest", lambda rows: "same", other_texts_are_read_anew),
    "one block too low": (
        assertion,
        "read_last",
        lambda model, rows, sites, **options: {
            site: read_last(model, rows, [lower])[lower]
            for site, lower in zip(sites, ["blocks.0.resid_pre", *sites[:-1]], strict=True)
        },
        a_knowing_model_passes,
    ),
}

CHECKS = list(dict.fromkeys(check for *_, check in MUTANTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_code_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, mutant, check = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    with pytest.raises(AssertionError):
        check()
