"""Attention in three calls with the same queries and keys: one attention where it is one, else no claim."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interp_assert.errors import SiteNotAvailable
from interp_assert.models import Model, wrap
from interp_assert.models.recording.flow import Flow
from interp_assert.models.recording.recorder import record

VOCAB, D, HEADS, D_HEAD = 50, 40, 4, 6
LENGTH = 9


def plain(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None = None, divisor: float = D_HEAD
) -> torch.Tensor:
    length = query.shape[-2]
    scores = query @ key.transpose(-2, -1) / math.sqrt(divisor)
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return scores.masked_fill(~seen, -math.inf).softmax(-1) @ value


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)


class Core(nn.Module):
    """One call as a module; its values come with positions before heads."""

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return fused(query, key, value.transpose(1, 2))


class Attention(nn.Module):
    """``kind`` is how the three calls are made, and what is odd about them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.core = kind, Core()
        self.queries, self.keys = nn.Linear(D, HEADS * D_HEAD), nn.Linear(D, HEADS * D_HEAD)
        self.values = nn.Linear(D, 3 * HEADS * D_HEAD)
        self.out = nn.Linear((1 if kind == "sum" else 3) * HEADS * D_HEAD, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [part.unflatten(-1, (HEADS, -1)) for part in (self.queries(x), self.keys(x), self.values(x))]
        query, key, value = (part.transpose(1, 2) for part in heads)
        first, second, third = value.chunk(3, -1)
        if self.kind == "plain" or self.kind == "sum":
            made = [plain(query, key, part) for part in (first, second, third)]
        elif self.kind == "fused":
            made = [fused(query, key, part) for part in (first, second, third)]
        elif self.kind == "modules":
            made = [self.core(query, key, part) for part in heads[2].chunk(3, -1)]
        elif self.kind == "other masks":
            made = [plain(query, key, first), plain(query, key, second), plain(query, key, third, window=3)]
        elif self.kind == "other scales":
            made = [plain(query, key, first), plain(query, key, second), plain(query, key, third, divisor=2)]
        elif self.kind == "other fused scales":
            made = [fused(query, key, first), fused(query, key, second), fused(query, key, third, scale=0.5)]
        elif self.kind == "other queries":
            made = [fused(query, key, first), fused(query, key, second), fused(query * 1.5, key, third)]
        else:  # one after the other
            made = [fused(query, key, first), fused(query, key, second)]
            made.append(fused(query, key, third + made[0]))
        whole = made[0] + 2 * made[1] - made[2] if self.kind == "sum" else torch.cat(made, -1)
        return self.out(whole.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(D), nn.LayerNorm(D)
        self.attention = Attention(kind)
        self.up, self.down = nn.Linear(D, 56), nn.Linear(56, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        return x + self.down(F.gelu(self.up(self.second(x))))


class ThreeCalls(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed, self.norm, self.unembed = nn.Embedding(VOCAB, D), nn.LayerNorm(D), nn.Linear(D, VOCAB)
        self.blocks = nn.ModuleList(Block(kind) for _ in range(2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.norm(x))


def opened(kind: str) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return wrap(ThreeCalls(kind).eval(), id=kind)


def prompt(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(seed))


def relative(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.double() - right.double()).norm() / right.double().norm())


def site(part: str) -> str:
    return f"blocks.1.attn.{part}"


def by_hand(model: Model, ids: torch.Tensor, kind: str, edited: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the second block's attention gives with queries, keys, values or a pattern put in, without the library."""
    module = model.module
    with torch.no_grad():
        block = module.blocks[1]
        x = module.blocks[0](module.embed(ids))
        attention, normed = block.attention, block.first(x)
        parts = {
            part: projection(normed).unflatten(-1, (HEADS, -1))
            for part, projection in (("q", attention.queries), ("k", attention.keys), ("v", attention.values))
        } | edited
        scores = torch.einsum("bqhd,bkhd->bhqk", parts["q"], parts["k"]) / math.sqrt(D_HEAD)
        future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        pattern = edited.get("pattern", scores.masked_fill(future, -math.inf).softmax(-1))
        heads = torch.einsum("bhqk,bkhd->bqhd", pattern, parts["v"])
        if kind == "sum":
            first, second, third = heads.chunk(3, -1)
            heads = first + 2 * second - third
        x = x + attention.out(edited.get("head_out", heads).flatten(2))
        x = x + block.down(F.gelu(block.up(block.second(x))))
        logits: torch.Tensor = module.unembed(module.norm(x))
        return logits


@pytest.fixture(scope="module", params=["plain", "fused", "modules", "sum"])
def model(request: pytest.FixtureRequest) -> Model:
    return opened(request.param)


class TestOneAttention:
    def test_its_sites_are_those_of_one_attention_with_wide_values(self, model: Model) -> None:
        trace = model.trace(prompt(), read=[site(part) for part in ("q", "k", "v", "pattern", "head_out")])
        width = D_HEAD if model.id == "sum" else 3 * D_HEAD
        assert trace[site("q")].shape == trace[site("k")].shape == (2, LENGTH, HEADS, D_HEAD)
        assert trace[site("v")].shape == (2, LENGTH, HEADS, 3 * D_HEAD)
        assert trace[site("pattern")].shape == (2, HEADS, LENGTH, LENGTH)
        assert trace[site("head_out")].shape == (2, LENGTH, HEADS, width)
        for part, projection in (("q", "queries"), ("k", "keys"), ("v", "values")):
            seen: list[torch.Tensor] = []
            module = model.module.get_submodule(f"blocks.1.attention.{projection}")
            handle = module.register_forward_hook(lambda _module, _args, out, seen=seen: seen.append(out))
            model.trace(prompt())
            handle.remove()
            assert torch.equal(trace[site(part)].flatten(2), seen[0]), part

    def test_heads_that_are_only_weighted_values_are_proven_to_be(self, model: Model) -> None:
        model.trace(prompt(), read=[site("head_out")])
        identity = "a head's output is its pattern times its values"
        proven = [proof for proof in model.anatomy.proofs if proof.identity == identity]
        assert len(proven) == (0 if model.id == "sum" else 2)
        assert all(proof.holds for proof in proven)
        assert model.anatomy.blocks[1].weighted_values == (model.id != "sum")

    @pytest.mark.parametrize("part", ["q", "k", "v", "pattern", "head_out"])
    def test_an_edit_takes_effect_in_all_three_calls(self, model: Model, part: str) -> None:
        ids, made = prompt(), []

        def roughen(value: torch.Tensor) -> torch.Tensor:
            made.append(value + torch.randn(value.shape))
            return made[-1]

        before = model.trace(ids, read=[site(part)])
        assert torch.equal(model.trace(ids, write={site(part): torch.clone}).logits, before.logits)
        edited = model.trace(ids, write={site(part): roughen}).logits
        assert len(made) == 1
        assert relative(edited, by_hand(model, ids, model.id, {part: made[0]})) < 1e-5
        assert relative(edited, before.logits) > 1e-3

    def test_both_ends_of_one_edit_are_seen(self, model: Model) -> None:
        """Values are read after they were edited, whatever call they are for."""
        other = model.trace(prompt(1), read=[site("v")])[site("v")]
        trace = model.trace(prompt(), read=[site("v")], write={site("v"): [lambda _: other, lambda v: v + 1]})
        assert torch.equal(trace[site("v")], other + 1)


class TestNotOne:
    @pytest.mark.parametrize("kind", ["other masks", "other scales", "other fused scales", "other queries"])
    def test_calls_that_differ_are_no_one_attention(self, kind: str) -> None:
        model = opened(kind)
        for part in ("q", "k", "v", "pattern", "head_out"):
            with pytest.raises(SiteNotAvailable, match="3 different softmax operations"):
                model.trace(prompt(), read=[site(part)])

    def test_values_that_are_made_of_an_earlier_call_cannot_be_edited_as_one(self) -> None:
        model = opened("one after the other")
        with pytest.raises(SiteNotAvailable, match=r"values of 3 calls .* not made until the first has run"):
            model.trace(prompt(), read=[site("v")])
        assert all(model.has(site(part)) for part in ("q", "k", "pattern", "head_out"))


def test_values_are_alike_that_the_same_operations_made_of_the_same() -> None:
    def pairs(x: torch.Tensor) -> list[torch.Tensor]:
        late = x.clone()
        late[:, 0] = 0
        return [
            *(x.softmax(-1), x.softmax(-1)),
            *(x.chunk(2, -1)[1] * 3, x.chunk(2, -1)[1] * 3),
            *(x.softmax(-1), x.softmax(0)),
            *(x.chunk(2, -1)[1] * 3, x.chunk(2, -1)[0] * 3),
            *(x * 3, x * 4),
            *(x + 1, late + 1),
            *(torch.rand_like(x), torch.rand_like(x)),
        ]

    module, x = nn.Identity(), torch.randn(2, 4)
    recording = record(module, lambda: pairs(x), (2, 4))
    flow = Flow(recording, module)
    made = [recording.results[(number,)] for number in range(len(recording.results))]
    assert [flow.alike(left, right) for left, right in zip(made[::2], made[1::2], strict=True)] == [True] * 2 + [
        False
    ] * 5
