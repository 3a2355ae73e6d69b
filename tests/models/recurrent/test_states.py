"""Recurrent states of every family: all of them in one pass, against the model's own steps; edits at a step."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from interp_assert.models import Model, edits, wrap
from interp_assert.models.recurrent import Stepper, step_through

from ..architectures import builder
from .exact import InFloat64
from .kinds import DELTA, ENDS_RECURRENT, FAMILIES, MAMBA1, MAMBA2, distance, opened, states_of

EVERYWHERE = ("state", "ssm.y", "ssm.gated")


def parts_of(family: str) -> tuple[str, ...]:
    """The sites of SITES.md's table that a family has."""
    if family in MAMBA1:
        return (*EVERYWHERE, "ssm.in_proj", "ssm.x_proj", "ssm.conv", "ssm.out")
    if family in MAMBA2:
        return (*EVERYWHERE, "ssm.in_proj", "ssm.conv", "ssm.out")
    if family in DELTA:
        return (*EVERYWHERE, "ssm.conv", *(() if family == "qwen4_exp_text" else ("ssm.out",)))
    return (*EVERYWHERE, "ssm.out", *(("ssm.conv",) if family in ("rwkv", "recurrent_gemma") else ()))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_of_the_family_is_there_and_proven(family: str) -> None:
    model = opened(family)
    recurrent = [site.rpartition(".")[0] for site in states_of(model)]
    assert recurrent
    for part in parts_of(family):
        assert all(model.has(f"{block}.{part}") for block in recurrent), model.anatomy.missing
    shown = [proof for proof in model.anatomy.proofs if proof.part == "state"]
    identities = {proof.identity for proof in shown if f"blocks.{proof.block}" in recurrent}
    assert "one step at a time, the recurrence gives what the kernel gives" in identities
    assert any(identity.startswith("overwriting changes the logits") for identity in identities)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_one_pass_are_those_of_the_models_own_steps(family: str) -> None:
    model = opened(family)
    ids = builder.prompt(2, 13)
    sites = states_of(model)
    trace = model.trace(ids, read=sites)
    steps = step_through(model, ids, clamp=True)
    assert list(steps.states) == sites
    for depth, site in enumerate(sites):
        assert distance(trace[site], steps.states[site]) < 1e-6 * (depth + 2), site
    assert distance(trace.logits, steps.logits) < 1e-6 * (model.anatomy.n_blocks + 2)
    assert distance(trace.logits, model.trace(ids).logits) < 1e-6 * (model.anatomy.n_blocks + 2)


def in_float64(family: str) -> Model:
    module = builder.build(family).double()
    module.set_experts_implementation("eager")  # the fused one knows no float64
    for part in module.modules():
        if hasattr(part, "decay_factors"):  # minimax keeps powers of its decay, rounded to float32
            part.query_decay, part.key_decay, part.diagonal_decay = part.decay_factors(part.slope_rate)
    return wrap(module, id=family)


ONE_PER_KERNEL = (
    "mamba",
    "zamba",
    "mamba2",
    "rwkv",
    "recurrent_gemma",
    "xlstm",
    "olmo_hybrid",
    "kimi_linear",
    "minimax",
)


@pytest.mark.parametrize("family", ONE_PER_KERNEL)
def test_the_differences_are_rounding(family: str) -> None:
    """In float64 they fall by eight orders; a term left out would stay as large as it is."""
    opened(family)
    model = in_float64(family)
    ids = builder.prompt(1, 6)
    sites = states_of(model)
    with InFloat64():
        trace = model.trace(ids, read=sites)
        steps = step_through(model, ids, clamp=True)
        plain = model.trace(ids).logits
    assert max(distance(trace[site], steps.states[site]) for site in sites) < 1e-13
    assert distance(trace.logits, plain) < 1e-13
    assert distance(steps.logits, plain) < 1e-13


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_at_a_step_changes_nothing_before_it_and_all_after(family: str) -> None:
    model = opened(family)
    ids, step = builder.prompt(2, 9), 4
    site = states_of(model)[-1]
    before = model.trace(ids, read=[site])
    after = model.trace(ids, read=[site], write={site: edits.at(step, edits.scale(0.5))})
    assert torch.equal(after[site][:, :step], before[site][:, :step])
    assert torch.equal(after.logits[:, :step], before.logits[:, :step])
    torch.testing.assert_close(after[site][:, step], 0.5 * before[site][:, step])
    assert not torch.equal(after[site][:, step + 1], before[site][:, step + 1])  # the recurrence went on with it
    first = step + 1 if family == "rwkv" else step  # RWKV-4 reads the state of the position before
    assert not torch.equal(after.logits[:, first], before.logits[:, first])


@pytest.mark.parametrize("family", ENDS_RECURRENT)
def test_an_edit_does_what_an_edit_of_the_cache_does(family: str) -> None:
    """The cache can be edited after a step only, so position t itself differs; from t + 1 on all is the same."""
    model = opened(family)
    ids, step = builder.prompt(2, 9), 3
    site = states_of(model)[-1]

    def triple(position: int, stepper: Stepper) -> None:
        if position == step:
            stepper.put(site, 3.0 * stepper.state(site))

    steps = step_through(model, ids, triple, clamp=True)
    trace = model.trace(ids, read=[site], write={site: edits.at(step, edits.scale(3.0))})
    assert distance(trace[site][:, step + 1 :], steps.states[site][:, step + 1 :]) < 1e-5
    error = distance(trace.logits[:, step + 1 :], steps.logits[:, step + 1 :])
    assert error < 5e-6
    assert distance(trace.logits[:, step + 1 :], model.trace(ids).logits[:, step + 1 :]) > 10 * error


def test_what_is_put_into_the_cache_must_be_a_state() -> None:
    from interp_assert.errors import BadEdit

    model = opened("mamba2")
    stepper = Stepper(model, 2)
    stepper.step([5, 6])
    site = states_of(model)[-1]
    state = stepper.state(site)
    for wrong, said in ((state[:1], r"shape \(2, .*not \(1, "), (0.0, "not float"), (state / 0, "not finite")):
        with pytest.raises(BadEdit, match=rf"{site}.*{said}"):
            stepper.put(site, wrong)  # type: ignore[arg-type]
    assert torch.equal(stepper.state(site), state)


class TestHowAStateIsEdited:
    """The edit is a function of all states so far, applied step by step; ready-made ones are shown less."""

    SITE = "blocks.1.state"

    @pytest.fixture
    def model(self) -> Model:
        return opened("mamba")

    def test_a_function_sees_the_states_so_far_and_zeros_after(self, model: Model) -> None:
        ids = builder.prompt(2, 7)
        plain = model.trace(ids, read=[self.SITE])[self.SITE]
        seen: list[torch.Tensor] = []

        def look(states: torch.Tensor) -> torch.Tensor:
            seen.append(states.clone())
            return states

        trace = model.trace(ids, read=[self.SITE], write={self.SITE: look})
        assert torch.equal(trace[self.SITE], plain)
        assert len(seen) == 7
        for step, states in enumerate(seen):
            assert torch.equal(states[:, : step + 1], plain[:, : step + 1])
            assert not states[:, step + 1 :].any()

    def test_a_function_sees_what_it_made_of_earlier_states(self, model: Model) -> None:
        seen: list[torch.Tensor] = []

        def double(states: torch.Tensor) -> torch.Tensor:
            seen.append(states.clone())
            return 2.0 * states

        ids = builder.prompt(2, 5)
        states = model.trace(ids, read=[self.SITE], write={self.SITE: double})[self.SITE]
        for step in range(5):
            assert torch.equal(seen[step][:, :step], states[:, :step])
            torch.testing.assert_close(2.0 * seen[step][:, step], states[:, step])

        def later_sees_earlier(states: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(states) if not states[:, 1].any() else states + states[:, :1]

        write = {self.SITE: edits.at([1, 3], later_sees_earlier)}
        trace = model.trace(ids, read=[self.SITE], write=write)[self.SITE]
        without = model.trace(ids, read=[self.SITE], write={self.SITE: edits.at(1, edits.replace(1.0))})[self.SITE]
        assert (trace[:, 1] == 1).all()
        torch.testing.assert_close(trace[:, 3], without[:, 3] + 1)

    def test_all_ways_to_say_the_same_give_the_same(self, model: Model) -> None:
        ids = builder.prompt(2, 7)

        def own(states: torch.Tensor) -> torch.Tensor:
            return torch.cat([states[:, :4], 0.5 * states[:, 4:5], states[:, 5:]], 1)

        def own_in_place(states: torch.Tensor) -> torch.Tensor:
            if not states[:, 5].any() and states[:, 4].any():
                states[:, 4] *= 0.5
                states[:, 5:] = 7.0  # not there yet: without effect
                states[:, :4] = 7.0  # gone by: without effect
            return states

        def at_step_4(states: torch.Tensor) -> torch.Tensor:
            assert states.shape[1] == 1
            return 0.5 * states

        ways: list[Any] = [edits.at(4, edits.scale(0.5)), edits.at(-3, at_step_4), own]
        logits = [model.trace(ids, write={self.SITE: way}).logits for way in ways]
        assert torch.equal(logits[0], logits[1])
        torch.testing.assert_close(logits[2], logits[0])
        read = [model.trace(ids, read=[self.SITE], write={self.SITE: way}) for way in (ways[0], own_in_place)]
        assert torch.equal(read[1][self.SITE], read[0][self.SITE])

    def test_values_stand_in_for_states(self, model: Model) -> None:
        ids = builder.prompt(2, 7)
        value = torch.randn(model.trace(ids, read=[self.SITE])[self.SITE].shape)
        trace = model.trace(ids, read=[self.SITE], write={self.SITE: value})
        assert torch.equal(trace[self.SITE], value)
        zeros = model.trace(ids, read=[self.SITE], write={self.SITE: 0.0})
        assert not zeros[self.SITE].any()
        by_hand = model.trace(ids, write={self.SITE: lambda states: torch.zeros_like(states)})
        assert torch.equal(zeros.logits, by_hand.logits)

    def test_what_was_read_from_one_run_can_be_put_into_another(self, model: Model) -> None:
        """From the step on, a state that was exchanged makes the run the other one."""
        one, other = builder.prompt(1, 8, seed=1), builder.prompt(1, 8, seed=2)
        other[:, 5:] = one[:, 5:]
        sites = states_of(model)
        donor = model.trace(one, read=[*sites, "blocks.*.ssm.in_proj"])
        exchanged = {site: edits.at(4, donor[site][:, 4:5]) for site in sites}
        # the convolution looks three positions back
        window = {site: edits.at([2, 3, 4], donor[site][:, 2:5]) for site in donor if site.endswith("in_proj")}
        mixed = model.trace(other, write={**exchanged, **window}).logits
        assert distance(mixed[:, 5:], donor.logits[:, 5:]) < 1e-5

    def test_states_of_several_blocks_and_edits_of_a_list(self, model: Model) -> None:
        ids = builder.prompt(2, 6)
        twice = {"blocks.0.state": [edits.scale(2.0), edits.add(1.0)], self.SITE: edits.scale(0.0)}
        trace = model.trace(ids, read=["blocks.*.state"], write=twice)
        assert not trace[self.SITE].any()
        first = model.trace(ids, read=["blocks.0.state"])["blocks.0.state"][:, 0]
        torch.testing.assert_close(trace["blocks.0.state"][:, 0], 2 * first + 1)

    def test_positions_keep_part_of_the_states(self, model: Model) -> None:
        ids = builder.prompt(2, 7)
        whole = model.trace(ids, read=[self.SITE])
        part = model.trace(ids, read=[self.SITE], positions=[-1, 2])
        assert torch.equal(part[self.SITE], whole[self.SITE][:, [-1, 2]])


def test_at_restricts_edits_of_every_kind_of_site() -> None:
    model = opened("falcon_h1")
    ids = builder.prompt(2, 6)
    for site in ("blocks.1.resid_post", "blocks.1.ssm.conv", "blocks.1.ssm.y", "blocks.1.attn.q"):
        plain = model.trace(ids, read=[site])[site]
        trace = model.trace(ids, read=[site], write={site: edits.at([1, -1], edits.zero())})
        expected = plain.clone()
        expected[:, [1, -1]] = 0
        torch.testing.assert_close(trace[site], expected)
    pattern = "blocks.1.attn.pattern"
    trace = model.trace(ids, read=[pattern], write={pattern: edits.at(3, edits.zero())})
    assert not trace[pattern][:, :, 3].any()
    assert trace[pattern][:, :, 4].any()


def test_attention_and_recurrence_of_one_block_are_separate() -> None:
    """Falcon-H1 runs them side by side on one input and adds both."""
    model = opened("falcon_h1")
    ids = builder.prompt(2, 8)
    block = "blocks.1"
    read = [f"{block}.{part}" for part in ("resid_pre", "attn.out", "ssm.out", "mlp.out", "resid_post")]
    values = model.trace(ids, read=read)
    total = sum(values[f"{block}.{part}"] for part in ("resid_pre", "attn.out", "ssm.out", "mlp.out"))
    assert distance(total, values[f"{block}.resid_post"]) < 1e-6
    muted = model.trace(ids, read=read, write={f"{block}.ssm.out": 0.0})
    torch.testing.assert_close(muted[f"{block}.attn.out"], values[f"{block}.attn.out"])
    frozen = model.trace(ids, read=read, write={f"{block}.state": 0.0})
    torch.testing.assert_close(frozen[f"{block}.attn.out"], values[f"{block}.attn.out"])
    assert distance(frozen[f"{block}.ssm.out"], values[f"{block}.ssm.out"]) > 1e-3


def test_an_edit_of_the_convolution_reaches_b_and_c() -> None:
    """In Mamba-1 they are projected from it; in Mamba-2 they are part of it."""
    ids = builder.prompt(2, 8)
    mamba = opened("mamba")
    read = ["blocks.1.ssm.x_proj", "blocks.1.state"]
    plain, edited = mamba.trace(ids, read=read), mamba.trace(ids, read=read, write={"blocks.1.ssm.conv": 0.0})
    assert plain["blocks.1.ssm.x_proj"].any()
    assert not edited["blocks.1.ssm.x_proj"].any()
    assert not edited["blocks.1.state"].any()
    mamba2 = opened("mamba2")
    inner = mamba2.trace(ids, read=["blocks.1.ssm.y"])["blocks.1.ssm.y"].shape[-1]

    def mute_b(conv: torch.Tensor) -> torch.Tensor:
        groups = (conv.shape[-1] - inner) // 2
        return torch.cat([conv[..., :inner], 0 * conv[..., inner : inner + groups], conv[..., inner + groups :]], -1)

    assert not mamba2.trace(ids, read=["blocks.1.state"], write={"blocks.1.ssm.conv": mute_b})["blocks.1.state"].any()


def test_a_projection_of_several_matrices_is_one_site() -> None:
    model = opened("rwkv")
    ids, site = builder.prompt(2, 6), "blocks.1.ssm.in_proj"
    attention = model.module.get_submodule(f"{model.anatomy.blocks[1].path}.attention")
    seen: list[torch.Tensor] = []
    model.trace(ids, read=[site, "blocks.1.ssm.y", "blocks.1.ssm.gated"])  # proves them
    handles = [
        getattr(attention, name).register_forward_hook(lambda *call: seen.append(call[2].clone()))
        for name in ("key", "value", "receptance")
    ]
    try:
        trace = model.trace(ids, read=[site, "blocks.1.ssm.y", "blocks.1.ssm.gated"])
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(trace[site], torch.cat(seen, -1))
    width = seen[0].shape[-1]

    def mute(part: int) -> Any:
        return lambda joined: torch.cat([(at != part) * x for at, x in enumerate(joined.split(width, -1))], -1)

    silent = model.trace(ids, read=[site, "blocks.1.ssm.y"], write={site: mute(1)})  # no values: a mean of zeros
    assert not silent["blocks.1.ssm.y"].any()
    assert not silent[site][..., width : 2 * width].any()
    even = model.trace(ids, read=["blocks.1.ssm.y", "blocks.1.ssm.gated"], write={site: mute(2)})
    assert torch.equal(even["blocks.1.ssm.y"], trace["blocks.1.ssm.y"])
    torch.testing.assert_close(even["blocks.1.ssm.gated"], 0.5 * even["blocks.1.ssm.y"])
    slope = model.trace(ids, read=[site], grad=True)
    (gradient,) = torch.autograd.grad(slope.logits[0, -1, 9], slope[site])
    assert all(part.any() for part in gradient[0].split(width, -1))
    assert not gradient[1].any()


@pytest.mark.parametrize("family", ["mamba", "jamba", "mamba2", "rwkv", "qwen3_next", "xlstm"])
def test_reading_what_kernels_show_leaves_the_logits_bitwise_equal(family: str) -> None:
    model = opened(family)
    ids = builder.prompt(2, 9)
    with torch.no_grad():
        plain = model.module(input_ids=ids, use_cache=False).logits
    parts = [part for part in ("ssm.conv", "ssm.y") if model.has(f"blocks.0.{part}")]
    trace = model.trace(ids, read=[f"blocks.0.{part}" for part in parts])
    assert torch.equal(trace.logits, plain)
    written = {f"blocks.0.{part}": torch.clone for part in parts}
    assert torch.equal(model.trace(ids, write=written).logits, plain)


@pytest.mark.parametrize("family", ["mamba", "mamba2", "olmo_hybrid", "recurrent_gemma", "xlstm"])
def test_a_vector_added_to_a_state_gets_the_gradient_of_finite_differences(family: str) -> None:
    opened(family)
    model = in_float64(family)
    ids, site = builder.prompt(1, 4), states_of(model)[0]
    with InFloat64():
        shape = model.trace(ids, read=[site], logits=False)[site].shape
        direction = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        delta = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        for write in ({site: edits.add(delta)}, {site: edits.at(range(4), edits.add(delta))}):
            score = model.trace(ids, write=write, grad=True).logits[0, -1, 9]
            (gradient,) = torch.autograd.grad(score, delta)
            step = 1e-7 * direction
            ends = [model.trace(ids, write={site: edits.add(by)}).logits[0, -1, 9] for by in (step, -step)]
            slope = float(ends[0] - ends[1]) / 2e-7
            assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_wrong_form_is_named_with_block_and_size() -> None:
    from interp_assert.errors import SiteNotAvailable
    from interp_assert.models.families import forms

    opened("mamba2")
    model = wrap(builder.build("mamba2"), id="mamba2")
    kernel = "mamba2_chunk_scan"
    kept = copy.copy(forms._forms[kernel])
    right = next(form for form in kept if "state" in form.sites)

    def forgets_the_skip(see: Any, *args: Any, D: Any = None, **kwargs: Any) -> Any:
        return right.run(see, *args, D=None, **kwargs)

    forms.register_kernel(kernel)(forgets_the_skip)
    try:
        with pytest.raises(SiteNotAvailable, match=r"what the kernel gives at block 0: relative error [\d.]+ > 1e-05"):
            model.trace(builder.prompt(1, 5), read=["blocks.0.state"])
    finally:
        forms._forms[kernel] = kept
    assert model.has("blocks.0.ssm.y")
