"""Differential attention (Ye et al. 2024, DiffLlama): two calls with the same queries and keys, and half of the values
each. Its sites are held against its projections, seen by hooks, and against the paper's formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from interp_assert.conformance import CHECKS
from interp_assert.models import Model, edits, wrap

from .builder import build, prompt

HEADS, KV_HEADS, D_HEAD = 8, 4, 6
PARTS = ("q", "k", "v", "pattern", "head_out")
BLOCK = 1


def opened(implementation: str, dtype: torch.dtype = torch.float32) -> Model:
    module = build(
        "diffllama",
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=D_HEAD,
        attention_bias=True,
        attn_implementation=implementation,
    )
    assert module.config._attn_implementation == implementation
    return wrap(module.to(dtype), id=f"diffllama-{implementation}")


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest) -> Model:
    return opened(request.param)


def site(part: str) -> str:
    return f"blocks.{BLOCK}.attn.{part}"


def read(model: Model, ids: torch.Tensor, **options: object) -> dict[str, torch.Tensor]:
    trace = model.trace(ids, read=[site(part) for part in PARTS], **options)
    return {part: trace[site(part)] for part in PARTS}


def relative(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.double() - right.double()).norm() / right.double().norm())


def every_head(tensor: torch.Tensor) -> torch.Tensor:
    """(batch, pos, kv_head, feature) for every head that has a pattern."""
    return tensor.repeat_interleave(HEADS // tensor.shape[2], 2)


def attention_module(model: Model) -> torch.nn.Module:
    return model.module.get_submodule(f"model.layers.{BLOCK}.self_attn")


def rotated(vectors: torch.Tensor) -> torch.Tensor:
    """Su et al. 2021, pairs half a vector apart; ``vectors`` (batch, pos, head, feature)."""
    half = D_HEAD // 2
    angle = torch.arange(vectors.shape[1])[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None]
    turned = torch.complex(vectors[..., :half], vectors[..., half:]) * turn
    return torch.cat([turned.real, turned.imag], -1)


def projections(model: Model, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the projections of the block hand out and take, by hooks of our own, in float64."""
    seen: dict[str, torch.Tensor] = {}

    def look(name: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            seen[name] = (args[0] if name == "o" else out).detach().double()

        return hook

    attention = attention_module(model)
    handles = [getattr(attention, f"{name}_proj").register_forward_hook(look(name)) for name in "qkvo"]
    try:
        with torch.no_grad():
            model.module(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value.unflatten(-1, (-1, D_HEAD)) for name, value in seen.items()}


def attended(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """softmax(q kᵀ / sqrt(d)) (batch, head, query, key) of what is before."""
    scores = torch.einsum("bqhd,bkhd->bhqk", query.double(), every_head(key).double()) / math.sqrt(D_HEAD)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1)


def combined(model: Model, pattern: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """What the output projection takes (batch, pos, head, feature), after the paper: of each pair of heads the first
    less lambda times the second, normalised and scaled; ``value`` (batch, pos, kv_head, both halves).
    """
    module = attention_module(model)
    weighted = torch.einsum("bhqk,bkhd->bqhd", pattern.double(), every_head(value).double())
    weight = {name: parameter.detach().double() for name, parameter in module.named_parameters() if "lambda" in name}
    start = 0.8 - 0.6 * math.exp(-0.3 * BLOCK)
    share = torch.exp(weight["lambda_q1"] @ weight["lambda_k1"]) - torch.exp(weight["lambda_q2"] @ weight["lambda_k2"])
    left = weighted[:, :, : HEADS // 2] - (share + start) * weighted[:, :, HEADS // 2 :]
    size = (left.square().mean(-1, keepdim=True) + model.module.config.rms_norm_eps).sqrt()
    return (1 - start) * left / size


def logits_with(model: Model, ids: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """The logits of a pass in which the output projection of the block takes ``heads``."""

    def replace(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (heads.flatten(-2).to(args[0].dtype),)

    handle = attention_module(model).o_proj.register_forward_pre_hook(replace)
    try:
        with torch.no_grad():
            logits: torch.Tensor = model.module(input_ids=ids, use_cache=False).logits
        return logits
    finally:
        handle.remove()


class TestValues:
    def test_queries_and_keys_are_the_projected_ones_rotated(self, model: Model) -> None:
        ids = prompt()
        seen, made = read(model, ids), projections(model, ids)
        assert seen["q"].shape == (2, 12, HEADS, D_HEAD)
        assert seen["k"].shape == (2, 12, KV_HEADS, D_HEAD)
        assert relative(seen["q"], rotated(made["q"])) < 1e-5
        assert relative(seen["k"], rotated(made["k"])) < 1e-5

    def test_the_pattern_is_the_one_softmax_of_both_calls(self, model: Model) -> None:
        ids = prompt()
        seen, made = read(model, ids), projections(model, ids)
        assert seen["pattern"].shape == (2, HEADS, 12, 12)
        assert relative(seen["pattern"], attended(rotated(made["q"]), rotated(made["k"]))) < 1e-5

    def test_values_are_both_halves_side_by_side(self, model: Model) -> None:
        """Each head has the values of one of the first and of one of the second half of the key-value heads."""
        ids = prompt()
        seen, made = read(model, ids), projections(model, ids)
        pairs = torch.cat(made["v"].chunk(2, 2), -1)  # (batch, pos, half the kv_heads, both halves)
        assert relative(every_head(seen["v"]), every_head(torch.cat([pairs, pairs], 2))) < 1e-6
        assert seen["v"].shape[-1] == 2 * D_HEAD

    def test_head_outputs_are_what_the_output_projection_takes(self, model: Model) -> None:
        ids = prompt()
        seen, made = read(model, ids), projections(model, ids)
        assert seen["head_out"].shape == (2, 12, HEADS // 2, 2 * D_HEAD)
        alone = model.trace(ids, read=[site("head_out")])[site("head_out")]  # without the pattern: in fused attention
        assert torch.equal(alone.double(), made["o"].flatten(-2).unflatten(-1, (HEADS // 2, -1)))
        assert relative(seen["head_out"], alone) < 1e-5
        assert relative(seen["head_out"], combined(model, seen["pattern"], seen["v"])) < 1e-5

    def test_the_anatomy_says_how_many_heads_there_are(self, model: Model) -> None:
        block = model.anatomy.blocks[BLOCK]
        assert block.n_heads == HEADS
        assert not block.weighted_values
        assert not [name for name in model.anatomy.missing if "attn" in name]
        read(model, prompt())
        assert f"(batch, pos, head={HEADS // 2}, d_value={2 * D_HEAD})" in model.anatomy.report()

    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 1), (5, 2)])
    def test_any_batch_and_length(self, model: Model, shape: tuple[int, int]) -> None:
        rows, length = shape
        ids = prompt(5, 12)
        whole, part = read(model, ids), read(model, ids[:rows, :length])
        for name in ("q", "k", "v", "head_out"):
            assert relative(part[name], whole[name][:rows, :length]) < 1e-5, name
        assert relative(part["pattern"], whole["pattern"][:rows, :, :length, :length]) < 1e-5

    def test_chosen_positions_and_an_early_end(self, model: Model) -> None:
        ids = prompt()
        whole, some = read(model, ids), read(model, ids, positions=[-1, 3], logits=False)
        for name in ("q", "k", "v", "head_out"):
            assert torch.equal(some[name], whole[name][:, [-1, 3]]), name
        assert torch.equal(some["pattern"], whole["pattern"][:, :, [-1, 3]])


class TestEdits:
    @pytest.mark.parametrize("part", ["q", "k", "v", "pattern"])
    def test_an_edit_takes_effect_in_both_calls(self, model: Model, part: str) -> None:
        """A random edit, so that one drawn for each call would show."""
        ids, made = prompt(), []

        def roughen(value: torch.Tensor) -> torch.Tensor:
            made.append(value + 0.5 * torch.randn(value.shape).to(value))
            return made[-1]

        model.trace(ids, read=[site(part)])  # what there is to prove is proven
        parts = read(model, ids)
        trace = model.trace(ids, read=[site(part)], write={site(part): roughen})
        assert len(made) == 1
        assert torch.equal(trace[site(part)], made[0])
        parts[part] = made[0]
        pattern = parts["pattern"] if part == "pattern" else attended(parts["q"], parts["k"])
        expected = logits_with(model, ids, combined(model, pattern, parts["v"]))
        assert relative(trace.logits, expected) < 1e-5
        assert relative(trace.logits, model.trace(ids).logits) > 1e-3

    def test_edits_of_all_at_once(self, model: Model) -> None:
        ids, other = prompt(), read(model, prompt(seed=1))
        write = {site(part): other[part] for part in ("q", "k", "v")}
        trace = model.trace(ids, read=[site("pattern"), site("head_out")], write=write)
        assert relative(trace[site("pattern")], other["pattern"]) < 1e-5
        assert relative(trace[site("head_out")], other["head_out"]) < 1e-5

    def test_two_edits_of_one_site_are_made_in_order(self, model: Model) -> None:
        ids, name = prompt(), site("v")
        again = name.replace(f".{BLOCK}.", f".{BLOCK - model.anatomy.n_blocks}.")
        both = model.trace(ids, read=[name], write={name: edits.add(1.0), again: edits.scale(2.0)})
        value = read(model, ids)["v"]
        assert torch.equal(both[name], (value + 1) * 2)
        assert torch.equal(both.logits, model.trace(ids, write={name: (value + 1) * 2}).logits)

    def test_edits_at_positions_leave_the_others(self, model: Model) -> None:
        ids = prompt()
        for name in PARTS:
            before = model.trace(ids, read=[site(name)])[site(name)]
            trace = model.trace(ids, read=[site(name)], write={site(name): edits.at([2, -1], edits.scale(0.5))})
            changed = trace[site(name)] != before
            at = changed.any(0).any(0).any(-1) if name == "pattern" else changed.any(0).any(-1).any(-1)
            assert at.nonzero().flatten().tolist() == [2, 11], name

    @pytest.mark.parametrize("part", PARTS)
    def test_writing_back_changes_nothing(self, model: Model, part: str) -> None:
        ids = prompt()
        before = model.trace(ids, read=[site(part)])
        for same in (torch.clone, before[site(part)]):
            assert torch.equal(model.trace(ids, write={site(part): same}).logits, before.logits)

    @pytest.mark.parametrize("check", ["write_back", "self_patch", "attention", "overwriting", "foreign_rows"])
    def test_it_keeps_the_identities_of_every_model(self, model: Model, check: str) -> None:
        finding = CHECKS[check](model, prompt())
        assert finding.holds, finding

    def test_the_head_output_is_written_as_by_a_hook(self, model: Model) -> None:
        ids, heads = prompt(), read(model, prompt(seed=1))["head_out"]
        assert torch.equal(model.trace(ids, write={site("head_out"): heads}).logits, logits_with(model, ids, heads))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_logits_can_be_differentiated_by_every_site(implementation: str) -> None:
    model, ids = opened(implementation, torch.float64), prompt(1, 5)
    generator = torch.Generator().manual_seed(0)
    for part in PARTS:
        trace = model.trace(ids, read=[site(part)], grad=True)
        (gradient,) = torch.autograd.grad(trace.logits[0, -1, 20], trace[site(part)])
        direction = torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype)
        ends = [
            model.trace(ids, write={site(part): edits.add(step * direction)}).logits[0, -1, 20]
            for step in (1e-3, -1e-3)
        ]
        # norms and plain attention are computed in single precision whatever the weights are
        assert float((gradient * direction).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-3, rel=1e-2), part
