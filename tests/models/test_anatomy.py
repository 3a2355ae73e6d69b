"""The anatomy of every architecture of this issue, checked against identities and against what Hugging Face reports."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from interp_assert import NotApplicable, assert_induction, assert_lens_crossover
from interp_assert.models import Model, load, wrap

from . import tiny

ADDENDS = ("attn.out", "ssm.out", "mlp.out")


@pytest.fixture(scope="module", params=tiny.ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> Model:
    return wrap(tiny.build(request.param), id=request.param)


@pytest.fixture(scope="module", params=tiny.WITH_ATTENTION)
def attending(request: pytest.FixtureRequest) -> Model:
    return wrap(tiny.build(request.param), id=request.param)


def relative(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.double() - right.double()).norm() / right.double().norm())


class TestStructure:
    def test_every_block_is_found_and_every_proof_holds(self, model: Model) -> None:
        anatomy = model.anatomy
        assert anatomy.n_blocks == tiny.LAYERS
        assert anatomy.d_model == tiny.D
        assert [proof for proof in anatomy.proofs if not proof.holds] == []
        assert "changing the last token moves nothing before it" in anatomy.report()
        assert "unembed" not in anatomy.missing

    def test_kinds_and_parallel_blocks(self, model: Model) -> None:
        expected = ("ssm",) if model.id.startswith("mamba") else ("attn", "mlp")
        for block in model.anatomy.blocks:
            assert block.kinds == expected
            assert block.parallel == (model.id in tiny.PARALLEL)
            assert block.n_heads == (None if model.id.startswith("mamba") else tiny.HEADS)

    def test_parallel_blocks_have_no_middle_and_say_so(self, model: Model) -> None:
        has_middle = model.id not in tiny.PARALLEL and not model.id.startswith("mamba")
        assert model.anatomy.has("blocks.0.resid_mid") == has_middle
        if not has_middle:
            assert "blocks.*.resid_mid" in model.anatomy.missing

    def test_report_names_what_was_proven_and_what_is_missing(self, model: Model) -> None:
        report = model.anatomy.report()
        assert f"{tiny.LAYERS} blocks" in report
        assert "unembedding the last residual gives the logits" in report
        for reason in model.anatomy.missing.values():
            assert reason in report

    def test_the_module_is_left_without_hooks(self, model: Model) -> None:
        assert model.anatomy
        for part in model.module.modules():
            assert not part._forward_hooks
            assert not part._forward_pre_hooks


class TestResiduals:
    def test_residuals_chain_and_addends_sum(self, model: Model) -> None:
        sites = [f"blocks.{i}.{part}" for i in range(tiny.LAYERS) for part in ("resid_pre", "resid_post", *ADDENDS)]
        trace = model.trace(tiny.token_ids(), read=[site for site in sites if site in model.anatomy.sites])
        for i in range(tiny.LAYERS):
            total = trace[f"blocks.{i}.resid_pre"].double()
            for part in ADDENDS:
                if f"blocks.{i}.{part}" in trace:
                    total = total + trace[f"blocks.{i}.{part}"].double()
            assert relative(total, trace[f"blocks.{i}.resid_post"]) < 1e-6
            if i:
                assert torch.equal(trace[f"blocks.{i}.resid_pre"], trace[f"blocks.{i - 1}.resid_post"])

    def test_residuals_are_those_that_hugging_face_reports(self, attending: Model) -> None:
        ids = tiny.token_ids()
        trace = attending.trace(ids, read=["blocks.*.resid_pre", "final_norm"])
        reference = tiny.build(attending.id)(input_ids=ids, use_cache=False, output_hidden_states=True)
        for i in range(tiny.LAYERS):
            torch.testing.assert_close(trace[f"blocks.{i}.resid_pre"], reference.hidden_states[i], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(trace["final_norm"], reference.hidden_states[-1], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(trace.logits, reference.logits, atol=1e-6, rtol=1e-5)

    def test_unembedding_the_last_residual_gives_the_logits(self, model: Model) -> None:
        trace = model.trace(tiny.token_ids(), read=[f"blocks.{tiny.LAYERS - 1}.resid_post"])
        resid = trace[f"blocks.{tiny.LAYERS - 1}.resid_post"]
        assert relative(model.unembed(resid), trace.logits) < 1e-6
        assert relative(model.unembed(resid[0, 3]), trace.logits[0, 3]) < 1e-6  # any leading shape

    def test_without_any_addend_the_logits_are_the_unembedded_embedding(self, model: Model) -> None:
        kinds = model.anatomy.blocks[0].kinds
        silenced = {f"blocks.{i}.{kind}.out": 0.0 for i in range(tiny.LAYERS) for kind in kinds}
        trace = model.trace(tiny.token_ids(), read=["blocks.0.resid_pre"], write=silenced)
        assert relative(model.unembed(trace["blocks.0.resid_pre"]), trace.logits) < 1e-6
        assert relative(model.trace(tiny.token_ids()).logits, trace.logits) > 1e-3

    def test_embed_is_the_embedding_of_the_tokens(self, model: Model) -> None:
        ids = tiny.token_ids()
        expected = model.module.get_input_embeddings()(ids)
        torch.testing.assert_close(model.trace(ids, read=["embed"])["embed"], expected)

    def test_the_middle_can_be_set(self, attending: Model) -> None:
        if not attending.anatomy.has("blocks.*.resid_mid"):
            pytest.skip("parallel blocks have no residual between attention and MLP")
        ids = tiny.token_ids()
        target = torch.randn(2, 12, tiny.D, generator=torch.Generator().manual_seed(5))
        trace = attending.trace(
            ids, read=["blocks.1.mlp.out", "blocks.1.resid_post"], write={"blocks.1.resid_mid": target}
        )
        assert relative(trace["blocks.1.resid_post"] - trace["blocks.1.mlp.out"], target) < 1e-5


class TestComponents:
    def test_patterns_are_those_that_eager_attention_reports(self, attending: Model) -> None:
        ids = tiny.token_ids()
        trace = attending.trace(ids, read=["blocks.*.attn.pattern"])
        eager = tiny.build(attending.id, attn_implementation="eager")
        reference = eager(input_ids=ids, use_cache=False, output_attentions=True).attentions
        for i in range(tiny.LAYERS):
            pattern = trace[f"blocks.{i}.attn.pattern"]
            assert pattern.shape == (2, tiny.HEADS, 12, 12)
            torch.testing.assert_close(pattern, reference[i], atol=1e-6, rtol=1e-5)

    def test_overwriting_the_pattern_decides_what_attention_adds(self, attending: Model) -> None:
        """Attending to the first position only, every position gets the same addend."""
        first = torch.zeros(12, 12)
        first[:, 0] = 1.0
        trace = attending.trace(
            tiny.token_ids(),
            read=["blocks.1.attn.out_raw", "blocks.1.resid_pre"],
            write={"blocks.1.attn.pattern": first},
        )
        out = trace["blocks.1.attn.out_raw"]
        if attending.id == "bloom":  # its attention module adds the residual itself
            out = out - trace["blocks.1.resid_pre"]
        torch.testing.assert_close(out, out[:, :1].expand_as(out), atol=1e-5, rtol=1e-4)
        assert relative(out[0, 0], out[1, 0]) > 1e-2

    def test_reading_patterns_changes_nothing(self, attending: Model) -> None:
        ids = tiny.token_ids()
        with_patterns = attending.trace(ids, read=["blocks.*.attn.pattern"]).logits
        assert relative(with_patterns, attending.trace(ids).logits) < 1e-6

    def test_neurons_times_the_down_projection_are_the_mlp(self, attending: Model) -> None:
        anatomy = attending.anatomy
        trace = attending.trace(tiny.token_ids(), read=["blocks.1.mlp.neurons", "blocks.1.mlp.out"])
        silent = attending.trace(
            tiny.token_ids(),
            read=["blocks.1.mlp.out_raw"],
            write={"blocks.1.mlp.neurons": trace["blocks.1.mlp.neurons"]},
        )
        down = attending.module.get_submodule(anatomy.routes["blocks.1.mlp.neurons"].write.path)
        expected = down(trace["blocks.1.mlp.neurons"].reshape(-1, trace["blocks.1.mlp.neurons"].shape[-1]))
        if attending.id == "gemma2":  # the addend is normalised after the projection
            torch.testing.assert_close(silent["blocks.1.mlp.out_raw"].reshape(expected.shape), expected)
        else:
            torch.testing.assert_close(
                trace["blocks.1.mlp.out"].reshape(expected.shape), expected, atol=1e-6, rtol=1e-5
            )

    def test_post_norms_belong_to_the_addend(self) -> None:
        model = wrap(tiny.build("gemma2"))
        trace = model.trace(tiny.token_ids(), read=["blocks.1.attn.out", "blocks.1.attn.out_raw"])
        norm = model.module.get_submodule("model.layers.1.post_attention_layernorm")
        torch.testing.assert_close(trace["blocks.1.attn.out"], norm(trace["blocks.1.attn.out_raw"]))
        assert relative(trace["blocks.1.attn.out"], trace["blocks.1.attn.out_raw"]) > 0.1

    def test_a_module_that_adds_the_residual_itself(self) -> None:
        model = wrap(tiny.build("bloom"))
        trace = model.trace(tiny.token_ids(), read=[f"blocks.1.{p}" for p in ("resid_pre", "attn.out", "attn.out_raw")])
        torch.testing.assert_close(
            trace["blocks.1.attn.out_raw"],
            trace["blocks.1.resid_pre"] + trace["blocks.1.attn.out"],
            atol=1e-6,
            rtol=1e-5,
        )

    def test_every_site_acts_where_it_says(self, model: Model) -> None:
        """Overwriting a site at position t changes nothing before t, and something from t on."""
        ids = tiny.token_ids()
        before = model.trace(ids).logits
        for site in model.anatomy.sites:
            if site.startswith("blocks.1.") and not site.endswith("pattern"):

                def edit(tensor: torch.Tensor) -> torch.Tensor:
                    edited = tensor.clone()
                    edited[:, 6] = edited[:, 6].roll(1, -1) + 1.0
                    return edited

                after = model.trace(ids, write={site: edit}).logits
                assert relative(after[:, :6], before[:, :6]) < 1e-6, site
                assert relative(after[:, 6:], before[:, 6:]) > 1e-6, site


class TestReadout:
    def test_soft_cap_is_applied_once(self) -> None:
        model = wrap(tiny.build("gemma2"))
        resid = model.trace(tiny.token_ids(), read=["blocks.1.resid_post"])["blocks.1.resid_post"] * 20
        with torch.no_grad():
            raw = model.module.lm_head(model.module.model.norm(resid))
        assert float(raw.abs().max()) > 2.0, "the cap must bite for this test to see it"
        torch.testing.assert_close(model.unembed(resid), 2.0 * torch.tanh(raw / 2.0))

    def test_soft_capped_attention_is_never_fused(self, tmp_path: Path) -> None:
        tiny.build("gemma2").save_pretrained(tmp_path)
        opened = load(str(tmp_path))
        assert opened.module.config._attn_implementation == "eager"
        ids = tiny.token_ids()
        torch.testing.assert_close(opened.trace(ids).logits, wrap(tiny.build("gemma2")).trace(ids).logits)

    def test_scaled_logits(self) -> None:
        from transformers import CohereConfig, CohereForCausalLM

        torch.manual_seed(0)
        config = CohereConfig(
            vocab_size=120,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            logit_scale=0.25,
        )
        model = wrap(CohereForCausalLM(config))
        resid = model.trace(tiny.token_ids(), read=["blocks.1.resid_post"])["blocks.1.resid_post"]
        expected = model.module.lm_head(model.module.model.norm(resid)) * 0.25
        torch.testing.assert_close(model.unembed(resid), expected)

    def test_residual_multipliers_belong_to_the_addend(self) -> None:
        from transformers import GraniteConfig, GraniteForCausalLM

        torch.manual_seed(0)
        config = GraniteConfig(
            vocab_size=120,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            residual_multiplier=0.3,
            logits_scaling=4.0,
            embedding_multiplier=5.0,
        )
        model = wrap(GraniteForCausalLM(config))
        trace = model.trace(
            tiny.token_ids(), read=["blocks.1.attn.out", "blocks.1.attn.out_raw", "blocks.1.resid_post"]
        )
        torch.testing.assert_close(trace["blocks.1.attn.out"], 0.3 * trace["blocks.1.attn.out_raw"])
        torch.testing.assert_close(model.unembed(trace["blocks.1.resid_post"]), trace.logits)
        doubled = model.trace(
            tiny.token_ids(), read=["blocks.1.resid_mid"], write={"blocks.1.attn.out": lambda x: 2 * x}
        )
        plain = model.trace(tiny.token_ids(), read=["blocks.1.resid_mid"])
        difference = doubled["blocks.1.resid_mid"] - plain["blocks.1.resid_mid"]
        torch.testing.assert_close(difference, trace["blocks.1.attn.out"], atol=1e-5, rtol=1e-4)


class TestWhatCannotBeProven:
    def test_a_stream_rescaled_between_blocks_is_named(self) -> None:
        from transformers import RwkvConfig, RwkvForCausalLM

        torch.manual_seed(0)
        config = RwkvConfig(
            vocab_size=120,
            context_length=64,
            hidden_size=32,
            attention_hidden_size=32,
            num_hidden_layers=4,
            rescale_every=2,
        )
        module = RwkvForCausalLM(config).eval()
        module(input_ids=tiny.token_ids(), use_cache=False)  # after which its weights are for halving
        model = wrap(module)
        assert "differs from the resid_post before by 0.5" in model.anatomy.missing["stream from block 1 to 2"]
        assert not [proof for proof in model.anatomy.proofs if not proof.holds]

    def test_a_hook_that_shows_the_wrong_block_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_assert.models.discovery import discover as module

        stages = module.find_stages

        def shifted(recording: object, stated: object) -> object:
            path, found = stages(recording, stated)  # type: ignore[arg-type, misc]
            moved = [(stage, replace(stage.exit, call=after.call)) for stage, after in pairwise(found)]
            return path, [replace(stage, call=exit_.call, exit=exit_) for stage, exit_ in moved]

        monkeypatch.setattr(module, "find_stages", shifted)
        anatomy = wrap(tiny.build("gpt2")).anatomy
        assert anatomy.missing, "one block too few, each named as the one before"

    def test_a_second_final_norm_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_assert.models import anatomy as module

        once = module.replay

        def twice(root: torch.nn.Module, readout: object, residual: torch.Tensor, rows: object) -> torch.Tensor:
            normed = root.get_submodule("transformer.ln_f")(residual)
            return once(root, readout, normed, rows)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "replay", twice)
        anatomy = wrap(tiny.build("gpt2")).anatomy
        assert anatomy.readout is None
        assert "unembedding the last residual gives the logits" in anatomy.missing["unembed"]

    def test_a_hook_that_does_nothing_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_assert.models.taps import tap as module

        monkeypatch.setattr(module, "put", lambda tree, where, value: tree)
        missing = wrap(tiny.build("gpt2")).anatomy.missing
        assert missing["blocks.0.resid_post"].startswith("resid_post: overwriting changes the logits")
        assert missing["blocks.0.resid_post"].endswith("at block 0: does not hold")

    def test_a_bidirectional_model_is_named_and_nothing_is_claimed_of_it(self) -> None:
        from transformers import BertConfig, BertLMHeadModel

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=120, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
        )
        model = wrap(BertLMHeadModel(config))
        assert "changing the last token moves nothing before it" in model.anatomy.missing["causality"]
        for claim in (assert_induction, assert_lens_crossover):
            with pytest.raises(NotApplicable, match="no causal language model"):
                claim(model)

    def test_weights_that_ignore_a_site_do_not_make_it_unavailable(self) -> None:
        module = tiny.build("gpt2")
        with torch.no_grad():
            module.transformer.h[1].attn.c_proj.weight.zero_()
        model = wrap(module)
        pattern = model.trace(tiny.token_ids(), read=["blocks.1.attn.pattern"])["blocks.1.attn.pattern"]
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))

    def test_gains_of_zero_do_not_either(self) -> None:
        """A block that begins with doing nothing: of its site nothing is heard, whatever its matrices."""
        module: Any = tiny.build("llama")
        with torch.no_grad():
            for name in ("input_layernorm", "post_attention_layernorm"):
                getattr(module.model.layers[1], name).weight.zero_()
        model = wrap(module)
        assert model.has("blocks.1.attn.q")
        assert model.has("blocks.1.mlp.neurons")
        assert not module.model.layers[1].input_layernorm.weight.any()

    def test_a_model_that_makes_nan_is_refused_with_the_place(self) -> None:
        from interp_assert.errors import ModelBroken

        module: Any = tiny.build("llama")
        with torch.no_grad():
            module.model.layers[1].mlp.up_proj.weight.mul_(1e30)
            module.model.layers[1].mlp.down_proj.weight.mul_(1e30)
        with pytest.raises(ModelBroken, match=r"NaN is model.layers.2.input_layernorm .*too large for torch.float32"):
            _ = wrap(module).anatomy

    @pytest.mark.parametrize(
        ("value", "ids", "message"),
        [
            (
                float("inf"),
                slice(None),
                r"infinite \(\d+ of \d+\), .* is lm_head \(Linear\); if numbers grow",
            ),
            (float("inf"), 5, r"infinite .* is lm_head \(Linear\); if numbers grow"),
            (float("-inf"), slice(None), r"infinite .* is lm_head \(Linear\); if numbers grow"),
            (
                float("-inf"),
                5,
                r"infinite .*; ids that are never to be said need a large negative logit",
            ),
        ],
    )
    def test_a_model_with_infinite_logits_is_refused_with_the_place(self, value: float, ids: Any, message: str) -> None:
        from interp_assert.errors import ModelBroken

        module: Any = tiny.build("llama")
        model = wrap(module)
        module.lm_head = torch.nn.Linear(module.config.hidden_size, module.config.vocab_size)
        module.lm_head.bias.data[ids] = value
        with pytest.raises(ModelBroken, match=message):
            _ = model.anatomy

    def test_no_blocks_at_all(self) -> None:
        from interp_assert.errors import UnprovenAnatomy

        class Bag(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.config = type("C", (), {"vocab_size": 50, "model_type": "bag"})()
                self.embedding = torch.nn.Embedding(50, 8)
                self.head = torch.nn.Linear(8, 50)

            def get_output_embeddings(self) -> torch.nn.Module:
                return self.head

            def get_input_embeddings(self) -> torch.nn.Module:
                return self.embedding

            def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
                return self.head(self.embedding(input_ids))

        with pytest.raises(UnprovenAnatomy, match="no stack of blocks was found in this bag"):
            _ = wrap(Bag()).anatomy  # type: ignore[arg-type]


def test_a_report_says_a_reason_once_and_for_which_blocks() -> None:
    model = wrap(tiny.build("llama"), id="llama")
    gaps = {"blocks.*.mlp.neurons": "experts", **{f"blocks.{i}.attn.{part}": "none" for part in "qk" for i in (0, 2)}}
    report = replace(model.anatomy, missing=gaps, n_blocks=4).report()
    assert report.endswith("missing\n  mlp.neurons: experts\n  attn.q, attn.k of blocks 0, 2: none")
