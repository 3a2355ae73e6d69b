"""Each way in which this code has gone wrong elsewhere is put into it, and a check that the real code passes must fail.

A mutant replaces one small function. ``CHECKS`` are the oracles; ``MUTANTS`` name the function, what it becomes and
the oracle that notices. A surviving mutant means that an oracle has gone blind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gemma2
from oracles import induction_gpt2, lens_gpt2, lens_lookup, order_blind
from prompts.words import metaspace_tokenizer, stand_in

import interp_assert.assertions.induction as induction_assertion
import interp_assert.assertions.lens_crossover as lens_assertion
import interp_assert.controls.paired as paired
import interp_assert.measures.induction as induction
import interp_assert.measures.lens as lens
import interp_assert.measures.prefix as prefix
import interp_assert.measures.tokens as tokens
import interp_assert.models.trace as trace
import interp_assert.prompts.facts as facts
import interp_assert.prompts.pool as pool
import interp_assert.prompts.repeated as repeated
from interp_assert.assertions import assert_induction, assert_lens_crossover
from interp_assert.measures import measure_induction, measure_logit_lens
from interp_assert.models import Model, wrap
from interp_assert.prompts import Fact, RepeatedTokenStream, Statement, resolve_statements, token_pool
from interp_assert.stats import Outcome, SequentialGate

from .outcome import control, verdict_of

twins = import_module("interp_assert.models.twins")  # its package has a function of that name


def prefix_matching_is_as_computed() -> None:
    model = wrap(induction_gpt2.build(3.5))
    scores = measure_induction(model, RepeatedTokenStream(token_pool(model)).take(0, 4))
    assert scores.prefix_matching is not None
    found = scores.prefix_matching[induction_gpt2.INDUCTION_HEAD]
    assert found == pytest.approx(induction_gpt2.theory(3.5), abs=7e-11)


def a_copier_is_perfect_and_gains() -> None:
    model = wrap(induction_gpt2.build(12.0))
    scores = measure_induction(model, RepeatedTokenStream(token_pool(model)).take(0, 4))
    assert scores.accuracy.estimate == 1.0
    assert scores.nll_gain.estimate > 6.0
    assert scores.chance == 1 / 20


def a_copier_passes() -> None:
    assert verdict_of(assert_induction, wrap(induction_gpt2.build(12.0))).outcome is Outcome.PASS


def an_order_blind_model_does_not_pass() -> None:
    assert verdict_of(assert_induction, wrap(order_blind.build()), floor=0.1, twins=2).outcome is Outcome.FAIL


def constant_logits_hit_nothing() -> None:
    assert not tokens.top_hits(torch.zeros(3, 7), torch.tensor([0, 3, 6])).any()


def the_lens_reads_the_oracle() -> None:
    fact = Fact("c", "r", "t", "p", "a", (0, 1, 2), lens_gpt2.TARGET)
    scores = measure_logit_lens(wrap(lens_gpt2.build()), [fact])
    assert tuple(scores.rank[0]) == lens_gpt2.RANKS
    assert scores.crossover == (lens_gpt2.DECIDES,)
    expected = [float(lens_gpt2.log_probabilities(entry)[lens_gpt2.TARGET].exp()) for entry in range(6)]
    assert scores.p[0] == pytest.approx(expected, abs=1e-9)


def crossover_is_for_good() -> None:
    assert lens.sustained_crossover([1, 0, 1, 0]) == 3


def the_last_entry_has_the_models_own_probability() -> None:
    model = gemma2()
    ids = (2, 7, 9, 11)
    with torch.no_grad():
        p = model.module(torch.tensor([ids])).logits[0, -1].softmax(-1)
    scores = measure_logit_lens(model, [Fact("c", "r", "t", "p", "a", ids, int(p.argmax()))])
    assert scores.p[0, -1] == pytest.approx(float(p.max()), rel=1e-4)


def early_answers_pass_and_late_ones_fail() -> None:
    asked = lens_lookup.facts(40)
    for block, outcome in ((2, Outcome.PASS), (4, Outcome.FAIL)):
        verdict = verdict_of(assert_lens_crossover, wrap(lens_lookup.build([block] * 40)), facts=asked)
        assert verdict.outcome is outcome
        assert control(verdict, "random_weights").outcome is not Outcome.FAIL


def one_answer_for_all_fails() -> None:
    asked = [Fact(f.cluster, "r", "t", "p", "a", (0, 1), 41) for f in lens_lookup.facts(40)]
    assert verdict_of(assert_lens_crossover, wrap(lens_lookup.build([1] * 40)), facts=asked).outcome is Outcome.FAIL


def targets_are_tokens_in_context() -> None:
    tokenizer = metaspace_tokenizer(["Capital", "▁is", "Paris", "▁Paris"])
    resolved = resolve_statements(stand_in(tokenizer, 8), [Statement("f", "r", "t", "Capital is", "Paris")])
    assert [tokenizer.convert_ids_to_tokens(f.target_id) for f in resolved.facts] == ["▁Paris"]


def seeds_and_clusters_differ() -> None:
    some = token_pool(wrap(induction_gpt2.build()))
    rows = {c.repeated for seed in range(5) for c in RepeatedTokenStream(some, seed=seed).take(0, 5)}
    assert len(rows) == 25


def looking_after_every_cluster_costs_nothing() -> None:
    """False PASSes at the boundary, level .01, horizon 256: at most 8 of 200 in all but one of 1,000 runs of a right
    gate.
    """
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        gate = SequentialGate(0.5)
        for value in (rng.random(256) < 0.5).astype(float).reshape(16, 16):
            gate.update(value)
        wrong += gate.outcome is Outcome.PASS
    assert wrong <= 8


def naive_update(gate: SequentialGate, values: Any) -> Outcome:
    """A z-test after every value, as if each look were the only one."""
    seen = gate.__dict__.setdefault("_naive", [])
    for value in np.atleast_1d(values):
        seen.append(float(value))
        error = np.std(seen) / len(seen) ** 0.5
        if len(seen) >= 10 and gate._outcome is Outcome.INCONCLUSIVE and np.mean(seen) - gate.threshold > 2.33 * error:
            gate._outcome = Outcome.PASS
    return gate._outcome


def aliased(model: Model, *, scheme: str = "resample", n: int | None = None, seed: int = 0) -> Iterator[Model]:
    """Twins that are the trained model itself."""
    return iter([model] * (n or 5))


def normed_twice(model: Model, residual: torch.Tensor) -> torch.Tensor:
    return tokens.in_full(model.unembed(model.module.transformer.ln_f(residual)))


def last_normed_twice(model: Model, residual: torch.Tensor) -> torch.Tensor:
    """The usual form: ``hidden_states[-1]``, already normed, goes through the final norm again."""
    last = float(residual.max()) == pytest.approx(lens_gpt2.LARGE + 4 * lens_gpt2.SMALL)
    return normed_twice(model, residual) if last else tokens.in_full(model.unembed(residual))


def without_cap(model: Model, residual: torch.Tensor) -> torch.Tensor:
    inner = model.module.model if hasattr(model.module, "model") else model.module.transformer
    return tokens.in_full(
        model.module.lm_head((inner.norm if hasattr(inner, "norm") else inner.ln_f)(residual)).detach()
    )


def shifted_sites(model: Model) -> list[str]:
    n = model.anatomy.n_blocks
    return ["blocks.0.resid_pre", *(f"blocks.{max(i - 1, 0)}.resid_post" for i in range(n))]


def unfired(self: trace.Trace, site: str) -> torch.Tensor:
    """A hook that never fired leaves what was there before."""
    return torch.zeros_like(self._values[site])


def flipped(self: paired.PairedControl, real: Any, null: Any) -> Outcome:
    return self.gate.update(null.minus(real).values) if self.gate.outcome is Outcome.INCONCLUSIVE else self.gate.outcome


def same_rng(seed: Any) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


class NumpyWithOneSeed:
    """numpy whose generators ignore their seed."""

    random = type("random", (), {"default_rng": staticmethod(same_rng), "Generator": np.random.Generator})

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def never_blind(rng: np.random.Generator, n: int) -> np.ndarray:
    """A shuffled copy that is not shuffled."""
    return np.arange(n)


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "diagonal one too low": (prefix, "after_previous_occurrence", lambda q, n: q - n, prefix_matching_is_as_computed),
    "diagonal one too high": (
        prefix,
        "after_previous_occurrence",
        lambda q, n: q - n + 2,
        prefix_matching_is_as_computed,
    ),
    "no BOS": (pool, "bos_id", lambda model: None, prefix_matching_is_as_computed),
    "patterns never read": (trace.Trace, "__getitem__", unfired, prefix_matching_is_as_computed),
    "current token scored": (
        induction,
        "next_tokens",
        lambda ids, positions: ids[:, positions],
        a_copier_is_perfect_and_gains,
    ),
    "first token of copy 2 scored": (
        induction,
        "scored_positions",
        lambda offset, n, *, copy: list(range(offset + copy * n - 1, offset + copy * n + n - 2)),
        a_copier_is_perfect_and_gains,
    ),
    "gain with the wrong sign": (
        induction,
        "gain",
        lambda first, second: second - first,
        a_copier_is_perfect_and_gains,
    ),
    "control with the wrong sign": (paired.PairedControl, "update", flipped, a_copier_passes),
    "second copy not shuffled": (repeated, "_order_without_successions", never_blind, a_copier_passes),
    "twins alias the trained weights": (twins, "twins", aliased, a_copier_passes),
    "shuffled control left out": (
        induction_assertion,
        "shuffled",
        lambda margin, levels: paired.PairedControl("shuffled", -1.0, levels, note=""),
        an_order_blind_model_does_not_pass,
    ),
    "ties are hits": (
        tokens,
        "rank_of",
        lambda logits, targets: (logits > logits.gather(-1, targets[..., None])).sum(-1),
        constant_logits_hit_nothing,
    ),
    "norm applied twice": (lens, "entry_logits", normed_twice, the_lens_reads_the_oracle),
    "last block normed twice": (lens, "entry_logits", last_normed_twice, the_lens_reads_the_oracle),
    "one block too low": (lens, "lens_sites", shifted_sites, the_lens_reads_the_oracle),
    "residuals never read": (trace.Trace, "__getitem__", unfired, the_lens_reads_the_oracle),
    "first hit for crossover": (lens, "sustained_crossover", lens.first_hit, crossover_is_for_good),
    "no soft-cap": (lens, "entry_logits", without_cap, the_last_entry_has_the_models_own_probability),
    "lens twins alias the trained weights": (twins, "twins", aliased, early_answers_pass_and_late_ones_fail),
    "crossover counted from the wrong side": (
        lens_assertion,
        "crossed_by",
        lambda scores, block: np.array([at is not None and at > block for at in scores.crossover]),
        early_answers_pass_and_late_ones_fail,
    ),
    "decoys not asked": (
        lens_assertion,
        "decoys_crossed_by",
        lambda scores, block: np.zeros(len(scores.facts), dtype=bool),
        one_answer_for_all_fails,
    ),
    "target without its space": (facts, "_answer_text", lambda target: target, targets_are_tokens_in_context),
    "seed ignored": (repeated, "np", NumpyWithOneSeed(), seeds_and_clusters_differ),
    "cluster index ignored": (
        RepeatedTokenStream,
        "take",
        lambda self, start, n: [self._cluster(0) for _ in range(n)],
        seeds_and_clusters_differ,
    ),
    "peeking": (SequentialGate, "update", naive_update, looking_after_every_cluster_costs_nothing),
}

CHECKS = list(dict.fromkeys(check for *_, check in MUTANTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_code_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, mutant, check = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    with pytest.raises((AssertionError, ValueError)):
        check()


def test_the_twins_are_really_looked_up_where_the_mutant_puts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the mutants above: aliased twins must be reached, not fail for another reason."""
    reached = count()
    monkeypatch.setattr(twins, "twins", lambda model, **options: (next(reached), aliased(model))[1])
    verdict = verdict_of(assert_induction, wrap(induction_gpt2.build(12.0)))
    assert next(reached) == 1
    assert control(verdict, "random_weights").outcome is Outcome.INCONCLUSIVE
    assert control(verdict, "random_weights").details["twin_scores"] == [1.0] * 5
