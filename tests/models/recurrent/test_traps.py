"""What goes wrong silently with recurrent models, each shown to be there and handled or refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from interp_assert.errors import EmptyBatch, SiteNotAvailable, UsageProblem
from interp_assert.models import Model, edits, wrap
from interp_assert.models.recurrent import Stepper, step_through

from .. import spread
from ..architectures import builder
from .kinds import FAMILIES, distance, opened, states_of


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "jamba"])
def test_several_tokens_on_a_warm_cache(family: str) -> None:
    """transformers restarts the scan from zero: wrong without a word. A step here takes one token."""
    model = opened(family)
    ids = builder.prompt(1, 8)
    with torch.no_grad():
        first = model.module(input_ids=ids[:, :4], use_cache=True)
        name = "cache_params" if hasattr(first, "cache_params") else "past_key_values"
        rest = model.module(input_ids=ids[:, 4:], use_cache=True, **{name: first[name]}).logits
    assert distance(rest, model.trace(ids).logits[:, 4:]) > 1e-4
    stepper = Stepper(model)
    stepper.step(ids[:, 0])
    with pytest.raises(UsageProblem, match="several tokens at once restart the recurrence"):
        stepper.step(ids[:, 1:3])


def test_positions_that_a_model_does_not_count() -> None:
    """Bamba steps with position 0 for ever unless it is told the position."""
    model = opened("bamba")
    ids = builder.prompt(1, 8)
    cache: Any = None
    steps = []
    with torch.no_grad():
        for token in ids.T:
            out = model.module(input_ids=token[None], use_cache=True, past_key_values=cache)
            cache = out.past_key_values
            steps.append(out.logits)
    full = model.trace(ids).logits
    assert distance(step_through(model, ids).logits, full) < 1e-5
    untold = distance(torch.cat(steps, 1), full)
    assert untold < 1e-5 or untold > 1e-4  # told or not, by release


@pytest.mark.parametrize("family", ["mamba2", "zamba2", "nemotron_h"])
def test_a_clamp_that_steps_leave_out(family: str) -> None:
    opened(family)
    limit = {"time_step_limit": (0.05, 0.06)} if family == "mamba2" else {"time_step_min": 0.05}
    model = wrap(builder.build(family, **limit), id=family)
    ids = builder.prompt(1, 6)
    with pytest.raises(UsageProblem, match=r"At position \d a time step dt is .* clamps it to 0\.05 to"):
        step_through(model, ids)
    clamped = step_through(model, ids, clamp=True)
    trace = model.trace(ids, read=states_of(model))
    assert distance(clamped.logits, trace.logits) < 1e-5
    for site in states_of(model):
        assert distance(clamped.states[site], trace[site]) < 1e-5


def test_rows_that_a_step_mixes() -> None:
    """RWKV-4 broadcasts its token shift over the batch."""
    model = opened("rwkv")
    with pytest.raises(UsageProblem, match="mixes the rows of a batch of 2"):
        Stepper(model, batch=2)
    ids = builder.prompt(3, 5)
    assert distance(step_through(model, ids).logits, model.trace(ids).logits) < 1e-5


def test_padding_enters_the_state() -> None:
    model = opened("mamba")
    rows = [[9, 10, 11, 12, 13], [14, 15, 16], [20, 21, 22]]
    padded = torch.tensor([rows[1] + [1, 1]])
    site = "blocks.1.state"
    alone = model.trace(torch.tensor([rows[1]]), read=[site])[site]
    assert distance(model.trace(padded, read=[site])[site][:, -1], alone[:, -1]) > 1e-2
    with pytest.raises(EmptyBatch, match="never padded"):
        model.trace(rows, read=[site])
    for numbers, ids in model.batches(rows):
        states = model.trace(ids, read=[site])[site]
        assert ids.shape[1] == len(rows[numbers[0]])
        if 1 in numbers:
            torch.testing.assert_close(states[numbers.index(1)], alone[0], atol=1e-6, rtol=1e-4)


def test_training_mode_is_refused() -> None:
    opened("mamba")
    model = wrap(builder.build("mamba"), id="mamba")
    model.anatomy  # noqa: B018 - opened before
    model.module.train()
    with pytest.raises(UsageProblem, match="training mode"):
        model.trace(builder.prompt(1, 5), read=["blocks.0.state"])
    with pytest.raises(UsageProblem, match="training mode"):
        Stepper(model)


def test_a_state_inside_a_module_is_forgotten_before_the_first_step() -> None:
    model = opened("recurrent_gemma")
    ids, other = builder.prompt(2, 6, seed=3), builder.prompt(2, 6, seed=4)
    fresh = step_through(model, ids).logits
    step_through(model, other)
    assert torch.equal(step_through(model, ids).logits, fresh)


class TestTheKernelsAreBack:
    """Names are rebound for the span of a pass only, whatever happens in it."""

    SITE = "blocks.1.state"

    @pytest.fixture
    def model(self) -> Model:
        return opened("mamba")

    @staticmethod
    def kernels(model: Model) -> list[Any]:
        mixer = model.module.get_submodule(f"{model.anatomy.blocks[0].path}.mixer")
        home = vars(sys.modules[type(mixer).__module__])
        return [home["mamba_selective_scan"], home["causal_conv1d_fn"]]

    @staticmethod
    def hooks(model: Model) -> int:
        return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.module.modules())

    def test_after_a_pass_an_error_and_an_early_stop(self, model: Model) -> None:
        ids = builder.prompt(1, 5)
        model.has(self.SITE)
        kernels, hooks = self.kernels(model), self.hooks(model)
        plain = model.trace(ids).logits

        def fails(_: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError

        model.trace(ids, read=[self.SITE, "blocks.0.ssm.conv"])
        model.trace(ids, read=[self.SITE], logits=False)
        with pytest.raises(ZeroDivisionError):
            model.trace(ids, write={self.SITE: fails})
        assert self.kernels(model) == kernels
        assert self.hooks(model) == hooks
        assert torch.equal(model.trace(ids).logits, plain)

    def test_wrong_shapes_are_named(self, model: Model) -> None:
        from interp_assert.errors import BadEdit

        ids = builder.prompt(1, 5)
        with pytest.raises(BadEdit, match=r"The edit of 'blocks.1.state' returned shape \(1, 5\)"):
            model.trace(ids, write={self.SITE: lambda states: states[..., 0, 0]})
        with pytest.raises(BadEdit, match=r"positions \[2\] it returned .*float32 \(1, 1, \d+, \d+\)"):
            model.trace(ids, write={self.SITE: edits.at(2, lambda states: states[:, 0])})
        with pytest.raises(BadEdit, match=r"The edit of .blocks.1.state.: Position 5 is outside the 5 positions"):
            model.trace(ids, write={self.SITE: edits.at(5, edits.zero())})
        with pytest.raises(BadEdit, match="at one position or at several"):
            edits.at([1, 1], edits.zero())

    def test_an_edit_may_run_a_model_itself(self, model: Model) -> None:
        ids, other = builder.prompt(1, 5), builder.prompt(1, 5, seed=1)
        donor = model.trace(other, read=[self.SITE])[self.SITE]

        def from_another_run(states: torch.Tensor) -> torch.Tensor:
            model.module(
                input_ids=other[:, :3], use_cache=False
            )  # of another length: none of these states is asked for
            inner = wrapped.trace(other, read=[self.SITE])[self.SITE]
            assert torch.equal(inner, donor)
            return inner

        wrapped = opened("mamba")
        trace = model.trace(ids, read=["blocks.*.state"], write={self.SITE: from_another_run})
        assert torch.equal(trace[self.SITE], donor)
        assert trace["blocks.0.state"].shape == donor.shape

    def test_other_models_and_other_blocks_run_the_kernel(self, model: Model) -> None:
        """Only the block that was asked for takes another way: the others give the same bits."""
        ids = builder.prompt(1, 6)
        before = ["blocks.0.resid_post", "blocks.1.resid_pre"]
        plain = model.trace(ids, read=before)
        read = model.trace(ids, read=[*before, self.SITE])
        assert all(torch.equal(plain[site], read[site]) for site in before)


def test_what_blocks_without_recurrence_say() -> None:
    model = opened("jamba")
    block = next(block.index for block in model.anatomy.blocks if "attn" in block.kinds)
    with pytest.raises(SiteNotAvailable, match="no recurrent mixer: it adds attn"):
        model.trace(builder.prompt(1, 4), read=[f"blocks.{block}.state"])
    with pytest.raises(SiteNotAvailable, match=r"q_proj, k_proj, v_proj, .* some are used before all are there"):
        opened("olmo_hybrid").trace(builder.prompt(1, 4), read=["blocks.0.ssm.in_proj"])


def test_an_older_transformers_is_named() -> None:
    """There the state of a mixer that writes its recurrence out is missing, and the reason says from when it is not."""
    model = wrap(builder.build("mamba"), id="mamba")
    if states_of(model):
        assert model.has("blocks.0.state")
        return
    with pytest.raises(SiteNotAvailable, match=r"writes the recurrence of this mixer out .* from transformers 5\.\d+"):
        model.trace(builder.prompt(1, 4), read=["blocks.0.state"])


def test_weights_are_as_they_were() -> None:
    model = wrap(builder.build(FAMILIES[0]), id="hashed")
    if states_of(model):
        model.trace(builder.prompt(1, 5), read=["blocks.*.state"], write={"blocks.0.state": edits.scale(2.0)})
    model.verify_unchanged()


@pytest.mark.parametrize("family", ["zamba", "mamba2", "minimax"])
def test_weights_that_accelerate_keeps_on_disk(family: str, tmp_path: Path) -> None:
    """It calls the forward that a module had when it came, and fetches weights when a module is called."""
    pytest.importorskip("accelerate")
    opened(family)
    module = builder.build(family)
    plain, spread_out = wrap(module, id="plain"), wrap(spread.offloaded(module, tmp_path), id="offloaded")
    ids, sites = builder.prompt(2, 6), states_of(plain)
    write = {sites[0]: edits.at(2, edits.zero())}
    left, right = (model.trace(ids, read=sites, write=write) for model in (plain, spread_out))
    assert spread.on_meta(spread_out.module)
    assert all(torch.equal(left[site], right[site]) for site in sites)
    assert torch.equal(left.logits, right.logits)
