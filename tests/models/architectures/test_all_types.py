"""Every causal-LM type resolves, and what is claimed of it holds: checked with hooks and arithmetic of our own.

By default a sample runs that has each oddity once; ``INTERP_ALL_TYPES=1`` runs all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version

from interp_assert.errors import SiteNotAvailable, UnprovenAnatomy
from interp_assert.models import Model, wrap

from .builder import TYPES, build, prompt, quiet
from .facts import Facts, facts_of, kinds_of

COMPLETE = Version("5.23")
"""The release whose types the table of facts is about; older ones lack some and cannot build others."""

OTHERWISE_BEFORE = frozenset({"doge", "gemma4", "glm_moe_dsa", "granitemoehybrid", "zamba", "zamba2"})
"""Types that older releases build or run otherwise, so that the facts are not theirs."""

SAMPLE = [
    "bamba",
    "bart",
    "beam",
    "bert",
    "blt",
    "cohere",
    "cpmant",
    "deepseek_v4",
    "falcon_h1",
    "gemma3n_text",
    "gemma4",
    "gpt_neox_japanese",
    "hrm_text",
    "inkling2_text",
    "inkling_text",
    "lfm2",
    "llama",
    "longcat_flash",
    "minimax",
    "mllama",
    "prophetnet",
    "qwen4_exp_text",
    "reformer",
    "rwkv",
    "xlm",
    "xlnet",
    "xmod",
    "zamba2",
    "zaya",
]

LENGTH = 9


@dataclass
class Opened:
    """A tiny model under test; ``weights`` are hashed before it was opened, ``passes`` counted while it was."""

    model_type: str
    facts: Facts
    model: Model
    weights: str
    passes: int

    @property
    def module(self) -> Any:
        return self.model.module


def chosen() -> list[str]:
    return list(TYPES) if os.environ.get("INTERP_ALL_TYPES") else [name for name in SAMPLE if name in TYPES]


def digest(module: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        found.update(name.encode() + tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def relative(left: torch.Tensor, right: torch.Tensor) -> float:
    left, right = left.double(), right.double()
    return float((left - right).norm() / right.norm())


@pytest.fixture(scope="module", params=chosen())
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    model_type, older = request.param, Version(transformers.__version__) < COMPLETE
    if older and model_type in OTHERWISE_BEFORE:
        pytest.skip(f"{model_type} is another one in transformers {transformers.__version__}")
    with quiet():
        if older:
            try:
                build(model_type)(input_ids=prompt(), use_cache=False)
            except Exception as error:
                pytest.skip(f"transformers {transformers.__version__} cannot run {model_type}: {error}")
        module: Any = build(model_type)
        weights, passes = digest(module), []
        counter = module.register_forward_pre_hook(lambda *_: passes.append(1))
        model = wrap(module, id=model_type)
        assert model.anatomy.n_blocks
        counter.remove()
        yield Opened(model_type, facts_of(model_type), model, weights, len(passes))


def logits_of(opened: Opened, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return opened.module(input_ids=ids, use_cache=False).logits


class TestStructure:
    def test_blocks_streams_and_kinds(self, opened: Opened) -> None:
        anatomy, facts = opened.model.anatomy, opened.facts
        assert anatomy.n_blocks == facts.n_blocks
        assert anatomy.streams.count == facts.streams
        assert anatomy.streams.axis == ("stream" if facts.streams > 1 else None)
        assert anatomy.d_model == opened.module.get_input_embeddings().weight.shape[1]
        assert [block.kinds for block in anatomy.blocks] == kinds_of(opened.model_type, opened.module.config)
        assert {block.parallel for block in anatomy.blocks} == {facts.parallel}

    def test_all_that_is_proven_holds_and_the_rest_is_named(self, opened: Opened) -> None:
        anatomy, facts = opened.model.anatomy, opened.facts
        failed = {proof.identity for proof in anatomy.proofs if not proof.holds}
        assert failed == (set() if facts.causal else {"changing the last token moves nothing before it"})
        assert ("causality" in anatomy.missing) != facts.causal
        assert ("unembed" in anatomy.missing) != facts.unembeds
        assert ("final_norm" in anatomy.missing) != facts.final_norm
        assert "embed" not in anatomy.missing
        assert len([name for name in anatomy.missing if name.startswith("stream from")]) == facts.breaks

    def test_opening_costs_at_most_six_passes(self, opened: Opened) -> None:
        assert opened.passes <= 6

    def test_what_is_missing_raises_its_reason(self, opened: Opened) -> None:
        anatomy = opened.model.anatomy
        for name, reason in anatomy.missing.items():
            site = name.replace("*", "0")
            if site.startswith("blocks.") or site == "final_norm":
                with pytest.raises(SiteNotAvailable) as error:
                    opened.model.trace(prompt(1, 4), read=[site])
                assert reason in str(error.value)


class TestResiduals:
    def test_they_are_what_the_blocks_hand_out(self, opened: Opened) -> None:
        """Seen by hooks on the blocks, in the order in which they run."""
        anatomy, ids = opened.model.anatomy, prompt(2, LENGTH)
        paths = [
            opened.facts.shown_by.format(i=block.index) if opened.facts.shown_by else block.path
            for block in anatomy.blocks
        ]
        shown: list[tuple[str, torch.Tensor]] = []

        def look(path: str) -> Any:
            return lambda _module, _args, out: shown.append((path, opened.facts.present(out, LENGTH).clone()))

        handles = [opened.module.get_submodule(path).register_forward_hook(look(path)) for path in dict.fromkeys(paths)]
        try:
            plain = logits_of(opened, ids)
        finally:
            for handle in handles:
                handle.remove()
        trace = opened.model.trace(ids, read=["blocks.*.resid_post"])
        assert [path for path, _ in shown] == paths
        for index, (_, value) in enumerate(shown):
            assert value.shape == (2, LENGTH, *anatomy.streams.shape(anatomy.d_model))
            assert torch.equal(trace[f"blocks.{index}.resid_post"], value)
        assert torch.equal(trace.logits, plain)

    def test_they_go_on_from_block_to_block(self, opened: Opened) -> None:
        trace = opened.model.trace(prompt(2, LENGTH), read=["blocks.*.resid_pre", "blocks.*.resid_post"])
        broken = [
            index
            for index in range(1, opened.model.anatomy.n_blocks)
            if not torch.equal(trace[f"blocks.{index}.resid_pre"], trace[f"blocks.{index - 1}.resid_post"])
        ]
        assert [f"stream from block {index - 1} to {index}" in opened.model.anatomy.missing for index in broken] == [
            True
        ] * opened.facts.breaks

    def test_addends_add_up(self, opened: Opened) -> None:
        """In a block that only adds, for every block that names all its addends."""
        anatomy = opened.model.anatomy
        addends = {
            block.index: [f"blocks.{block.index}.{name}.out" for name in block.names] for block in anatomy.blocks
        }
        ends = [f"blocks.{i}.{part}" for i in addends for part in ("resid_pre", "resid_post")]
        trace = opened.model.trace(
            prompt(2, LENGTH), read=[*ends, *(site for found in addends.values() for site in found)]
        )
        for index, sites in addends.items():
            total = trace[f"blocks.{index}.resid_pre"].double()
            if not sites or not opened.facts.plain_sum or total.shape != trace[sites[0]].shape:
                continue
            for site in sites:
                total = total + trace[site].double()
            assert relative(total, trace[f"blocks.{index}.resid_post"]) < 1e-5

    def test_the_embedding_is_that_of_the_tokens(self, opened: Opened) -> None:
        ids = prompt(2, LENGTH)
        with torch.no_grad():
            expected = opened.module.get_input_embeddings()(ids)
        assert torch.equal(opened.model.trace(ids, read="embed")["embed"], expected)


class TestReadout:
    def test_it_gives_the_logits_or_says_why_not(self, opened: Opened) -> None:
        last = f"blocks.{opened.model.anatomy.n_blocks - 1}.resid_post"
        ids = prompt(2, LENGTH)
        residual = opened.model.trace(ids, read=last, logits=False)[last]
        if not opened.facts.unembeds:
            with pytest.raises(UnprovenAnatomy, match="more than the last block's output"):
                opened.model.unembed(residual)
            return
        logits = logits_of(opened, ids)
        assert relative(opened.model.unembed(residual), logits) < 1e-5
        assert relative(opened.model.unembed(residual[1, 3:5]), logits[1, 3:5]) < 1e-5

    def test_the_head_ranks_what_the_final_norm_hands_out_as_the_logits_do(self, opened: Opened) -> None:
        """Scales, caps and cuts of the vocabulary keep the order of tokens."""
        if not opened.facts.final_norm or not opened.facts.logits_of_head:
            pytest.skip("no final norm, or a head of several layers")
        ids = prompt(2, LENGTH)
        normed = opened.model.trace(ids, read="final_norm")["final_norm"]
        logits = logits_of(opened, ids)
        with torch.no_grad():
            made = opened.module.get_output_embeddings()(normed)[..., : logits.shape[-1]]
        ranked = logits.double().gather(-1, made.argsort(-1))
        assert float(ranked.diff(dim=-1).min()) > -1e-5 * float(logits.abs().max())
        route = opened.model.anatomy.routes["final_norm"].write
        assert "norm" in type(opened.module.get_submodule(route.path)).__name__.lower()


class TestComponents:
    def test_an_mlp_stays_at_its_position_and_a_mixer_does_not(self, opened: Opened) -> None:
        """A change of the stream at one position, just before the component reads it."""
        anatomy, ids, at = opened.model.anatomy, prompt(1, LENGTH), 4

        def moved(entry: str, out: str) -> list[int]:
            def change(stream: torch.Tensor) -> torch.Tensor:
                stream = stream.clone()
                stream[:, at] += torch.linspace(-1, 1, stream.shape[-1])
                return stream

            plain = opened.model.trace(ids, read=[out], logits=False)[out]
            changed = opened.model.trace(ids, read=[out], write={entry: change}, logits=False)[out]
            return [pos for pos in range(LENGTH) if not torch.allclose(plain[0, pos], changed[0, pos], atol=1e-6)]

        for block in anatomy.blocks[:2]:
            entry, middle = f"blocks.{block.index}.resid_pre", f"blocks.{block.index}.resid_mid"
            for name, kind in zip(block.names, block.kinds, strict=bool(block.names)):
                out = f"blocks.{block.index}.{name}.out"
                if kind != "mlp" and name == block.names[0]:
                    assert set(moved(entry, out)) > {at}, f"{out} looks at one position only"
                elif kind == "mlp" and (middle in anatomy.sites or block.parallel) and opened.facts.mlp_stays:
                    assert set(moved(entry if block.parallel else middle, out)) <= {at}, f"{out} mixes positions"


def test_nothing_is_changed_and_no_hook_is_left(opened: Opened) -> None:
    opened.model.trace(prompt(2, LENGTH), read=["blocks.*.resid_post"], write={"blocks.0.resid_pre": lambda x: x + 1})
    assert digest(opened.module) == opened.weights
    for part in opened.module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
