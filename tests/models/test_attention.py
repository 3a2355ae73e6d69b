"""The inside of attention against what attention is: computed from the sites, by the modules, and by other hooks."""

from __future__ import annotations

import math

import pytest
import torch

from interp_assert.errors import BadEdit, SiteNotAvailable
from interp_assert.models import Model, edits, wrap

from . import tiny

D_HEAD = {"qwen3": 16, "gemma2": 12}
KV_HEADS = {"llama": 2, "qwen3": 2, "gemma2": 2, "falcon": 1}
OUT_PROJECTION = {
    "gpt2": "transformer.h.1.attn.c_proj",
    "gpt_neox": "gpt_neox.layers.1.attention.dense",
    "llama": "model.layers.1.self_attn.o_proj",
    "qwen3": "model.layers.1.self_attn.o_proj",
    "gemma2": "model.layers.1.self_attn.o_proj",
    "opt": "model.decoder.layers.1.self_attn.out_proj",
    "falcon": "transformer.h.1.self_attention.dense",
    "mpt": "transformer.blocks.1.attn.out_proj",
    "phi": "model.layers.1.self_attn.dense",
    "bloom": "transformer.h.1.self_attention.dense",
}


@pytest.fixture(scope="module", params=tiny.WITH_ATTENTION)
def model(request: pytest.FixtureRequest) -> Model:
    return wrap(tiny.build(request.param), id=request.param)


def parts(model: Model, block: int = 1, ids: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    names = ("q", "k", "v", "pattern", "head_out", "out", "out_raw")
    trace = model.trace(
        tiny.token_ids() if ids is None else ids, read=[f"blocks.{block}.attn.{name}" for name in names]
    )
    return {name: trace[f"blocks.{block}.attn.{name}"] for name in names}


def every_head(tensor: torch.Tensor, n_heads: int) -> torch.Tensor:
    return tensor.repeat_interleave(n_heads // tensor.shape[2], 2)


def relative(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.double() - right.double()).norm() / right.double().norm())


def alibi(architecture: str, length: int) -> torch.Tensor | float:
    """Press et al. 2022: a head's score falls linearly with the distance; slopes 2^(-8h/n)."""
    if architecture not in ("bloom", "mpt"):
        return 0.0
    slopes = torch.tensor([2 ** (-8 * (head + 1) / tiny.HEADS) for head in range(tiny.HEADS)])
    distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    return slopes[:, None, None] * distance


class TestValues:
    def test_shapes_with_grouped_keys_and_heads_of_their_own_width(self, model: Model) -> None:
        seen = parts(model)
        d_head = D_HEAD.get(model.id, tiny.D // tiny.HEADS)
        kv_heads = KV_HEADS.get(model.id, tiny.HEADS)
        assert seen["q"].shape == seen["head_out"].shape == (2, 12, tiny.HEADS, d_head)
        assert seen["k"].shape == seen["v"].shape == (2, 12, kv_heads, d_head)
        block = model.anatomy.blocks[1]
        assert (block.n_heads, block.n_kv_heads) == (tiny.HEADS, kv_heads)

    def test_queries_and_keys_make_the_pattern(self, model: Model) -> None:
        seen = parts(model, ids=tiny.token_ids(length=6))
        query, key = seen["q"].double(), every_head(seen["k"], tiny.HEADS).double()
        scale = 256**-0.5 if model.id == "gemma2" else 1 / math.sqrt(query.shape[-1])
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * scale
        if model.id == "gemma2":
            scores = 3.0 * torch.tanh(scores / 3.0)
        scores = scores + alibi(model.id, 6)
        scores = scores.masked_fill(~torch.ones(6, 6, dtype=torch.bool).tril(), -math.inf)
        assert relative(scores.softmax(-1), seen["pattern"]) < 1e-5

    def test_a_heads_output_is_its_pattern_times_its_values(self, model: Model) -> None:
        seen = parts(model)
        value = every_head(seen["v"], tiny.HEADS)
        assert relative(torch.einsum("bhqk,bkhd->bqhd", seen["pattern"], value), seen["head_out"]) < 1e-5

    def test_the_output_projection_takes_the_heads_side_by_side(self, model: Model) -> None:
        seen = parts(model)
        projection = model.module.get_submodule(OUT_PROJECTION[model.id])
        projected = projection(seen["head_out"].flatten(-2)).detach()
        # bloom's module adds the residual itself, gemma2 normalises what its module hands out
        assert relative(projected, seen["out" if model.id == "bloom" else "out_raw"]) < 1e-5

    @pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox", "opt"])
    def test_fused_and_plain_attention_show_the_same(self, architecture: str) -> None:
        plain = parts(wrap(tiny.build(architecture, attn_implementation="eager"), id="plain"))
        fused = parts(wrap(tiny.build(architecture, attn_implementation="sdpa"), id="fused"))
        for name, value in plain.items():
            assert relative(fused[name], value) < 1e-5, name

    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 1), (5, 2)])
    def test_any_batch_and_length(self, model: Model, shape: tuple[int, int]) -> None:
        ids = tiny.token_ids(*shape)
        seen = parts(model, ids=ids)
        assert seen["q"].shape[:2] == shape
        alone = parts(model, ids=ids[:1])
        for name in ("q", "k", "v", "head_out"):
            assert relative(seen[name][:1], alone[name]) < 1e-5

    def test_chosen_positions(self, model: Model) -> None:
        ids = tiny.token_ids()
        whole = model.trace(ids, read=["blocks.2.attn.k"])["blocks.2.attn.k"]
        last = model.trace(ids, read=["blocks.2.attn.k"], positions=[-1, 3])["blocks.2.attn.k"]
        assert torch.equal(last, whole[:, [-1, 3]])


class TestEdits:
    def test_a_heads_ablation_is_what_a_hook_on_the_projection_does(self, model: Model) -> None:
        ids = tiny.token_ids()

        def without(site: torch.Tensor) -> torch.Tensor:
            site = site.clone()
            site[:, :, 2] = 0
            return site

        edited = model.trace(ids, write={"blocks.1.attn.head_out": without}).logits
        projection = model.module.get_submodule(OUT_PROJECTION[model.id])
        width = D_HEAD.get(model.id, tiny.D // tiny.HEADS)

        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            hidden = args[0].clone()
            hidden[..., 2 * width : 3 * width] = 0
            return (hidden,)

        handle = projection.register_forward_pre_hook(hook)
        try:
            expected = model.trace(ids).logits
        finally:
            handle.remove()
        assert torch.equal(edited, expected)
        assert not torch.equal(edited, model.trace(ids).logits)

    def test_an_edited_key_moves_its_column_of_the_pattern_alone(self, model: Model) -> None:
        ids = tiny.token_ids(length=6)
        before = parts(model, ids=ids)["pattern"]

        def edit(site: torch.Tensor) -> torch.Tensor:
            site = site.clone()
            site[:, 2] += 0.5
            return site

        trace = model.trace(ids, read=["blocks.1.attn.pattern"], write={"blocks.1.attn.k": edit})
        after = trace["blocks.1.attn.pattern"]
        assert relative(after[:, :, :2], before[:, :, :2]) < 1e-6  # earlier queries cannot see it
        ratio = after[:, :, 5].double() / before[:, :, 5].double()
        others = ratio[..., [0, 1, 3, 4, 5]]
        assert float((others / others[..., :1] - 1).abs().max()) < 1e-3  # only the normalisation moved them
        assert float((ratio[..., 2] / ratio[..., 0] - 1).abs().max()) > 1e-3

    def test_grouped_keys_are_edited_once_for_all_their_heads(self) -> None:
        model = wrap(tiny.build("llama"), id="llama")
        ids = tiny.token_ids()
        edited = model.trace(ids, read=["blocks.1.attn.v"], write={"blocks.1.attn.v": edits.zero()})
        whole = model.trace(ids, write={"blocks.1.attn.head_out": 0.0})
        assert not edited["blocks.1.attn.v"].any()
        assert relative(edited.logits, whole.logits) < 1e-6

    def test_an_overwritten_pattern_changes_the_logits(self, model: Model) -> None:
        ids = tiny.token_ids()
        uniform = torch.ones(12, 12).tril() / torch.arange(1, 13)[:, None]
        trace = model.trace(ids, read=["blocks.1.attn.pattern"], write={"blocks.1.attn.pattern": uniform})
        assert torch.equal(trace["blocks.1.attn.pattern"][1, 2], uniform)
        assert relative(trace.logits, model.trace(ids).logits) > 1e-4

    def test_a_wrong_shape_is_named_with_the_right_one(self, model: Model) -> None:
        with pytest.raises(BadEdit, match=r"blocks\.1\.attn\.q.*\(2, 12, 3\).*\(batch, pos, head, d_head\)"):
            model.trace(tiny.token_ids(), write={"blocks.1.attn.q": lambda site: site[:, :, :3, 0]})

    def test_a_model_without_attention_says_so(self) -> None:
        mamba = wrap(tiny.build("mamba"), id="mamba")
        with pytest.raises(SiteNotAvailable, match="the block has no attention"):
            mamba.trace(tiny.token_ids(), read=["blocks.0.attn.q"])


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 5), (2, 9)])
def test_keys_are_the_same_however_the_call_groups_them(shape: tuple[int, int]) -> None:
    # A window shorter than the row needs a mask, with which each key is repeated for the heads of its group; without
    # one they are not, and a single query has the heads of a group packed in the place of queries.
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=6,
    )
    model = wrap(MistralForCausalLM(config).eval(), id="mistral")
    ids, (rows, length) = tiny.token_ids(length=13), shape
    whole, part = parts(model, ids=ids), parts(model, ids=ids[:rows, :length])
    for name in ("q", "k", "v", "head_out"):
        assert relative(part[name], whole[name][:rows, :length]) < 1e-5, name
    assert relative(part["pattern"], whole["pattern"][:rows, :, :length, :length]) < 1e-5
    before = model.trace(ids[:rows, :length]).logits
    for name in ("q", "k", "v", "pattern", "head_out"):
        same = model.trace(ids[:rows, :length], write={f"blocks.1.attn.{name}": torch.clone}).logits
        assert relative(same, before) < 1e-6, name
        site = part[name]
        other = model.trace(ids[:rows, :length], write={f"blocks.1.attn.{name}": site.flip(-1) + 0.5}).logits
        assert relative(other, before) > (1e-5 if length > 1 or name in ("v", "pattern", "head_out") else -1), name
