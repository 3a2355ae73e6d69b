"""Tracing: one pass, what is read and written, when it stops, and what is said when something is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from interp_assert.errors import (
    BadEdit,
    ContextTooShort,
    EmptyBatch,
    SiteNotAvailable,
    TokenOutOfRange,
    UsageProblem,
)
from interp_assert.models import Model, edits, wrap

from . import tiny

MID = "blocks.1.resid_post"


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(tiny.build("gpt2"), id="tiny")


def hooks(model: Model) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.module.modules())


class TestReading:
    def test_aliases_wildcards_and_negative_blocks(self, model: Model) -> None:
        ids = tiny.token_ids()
        trace = model.trace(ids, read=["blocks.1.hook_resid_post", "blocks.-1.resid_post", "blocks.*.attn.out"])
        assert list(trace) == [MID, "blocks.2.resid_post", *(f"blocks.{i}.attn.out" for i in range(3))]
        assert trace["blocks.-1.hook_resid_post"] is trace["blocks.2.resid_post"]

    def test_a_single_site_and_a_single_row(self, model: Model) -> None:
        trace = model.trace(tiny.token_ids()[0], read=MID)
        assert trace[MID].shape == (1, 12, tiny.D)

    def test_positions_keep_part_of_reads_and_logits(self, model: Model) -> None:
        ids = tiny.token_ids()
        whole = model.trace(ids, read=[MID, "blocks.1.attn.pattern"])
        part = model.trace(ids, read=[MID, "blocks.1.attn.pattern"], positions=[-1, 2])
        torch.testing.assert_close(part[MID], whole[MID][:, [-1, 2]])
        torch.testing.assert_close(part["blocks.1.attn.pattern"], whole["blocks.1.attn.pattern"][:, :, [-1, 2]])
        torch.testing.assert_close(part.logits, whole.logits[:, [-1, 2]], atol=1e-6, rtol=1e-5)

    def test_logits_as_a_site_can_be_read_and_written(self, model: Model) -> None:
        trace = model.trace(tiny.token_ids(), read=["logits"], write={"logits": edits.scale(2.0)})
        torch.testing.assert_close(trace["logits"], 2 * model.trace(tiny.token_ids()).logits)
        assert torch.equal(trace.logits, trace["logits"])

    def test_it_stops_after_the_last_wanted_site(self, model: Model) -> None:
        ran: list[str] = []
        handles = [
            model.module.get_submodule(f"transformer.h.{i}").register_forward_hook(lambda *_, i=i: ran.append(f"h.{i}"))
            for i in range(3)
        ]
        try:
            trace = model.trace(tiny.token_ids(), read=[MID], logits=False)
        finally:
            for handle in handles:
                handle.remove()
        assert ran == ["h.0", "h.1"]
        with pytest.raises(SiteNotAvailable, match="logits=False"):
            _ = trace.logits

    def test_one_pass_is_counted_once(self, model: Model) -> None:
        model.trace(tiny.token_ids(), read=[MID, "blocks.1.attn.pattern"])  # proofs are done
        passes, tokens = model.meter.forward_passes, model.meter.tokens
        model.trace(tiny.token_ids(), read=[MID, "blocks.1.attn.pattern"], write={"blocks.0.mlp.out": 0.0})
        assert (model.meter.forward_passes - passes, model.meter.tokens - tokens) == (1, 24)

    def test_reads_do_not_alias_the_model(self) -> None:
        """Falcon adds attention into the tensor that its MLP handed out."""
        falcon = wrap(tiny.build("falcon"))
        trace = falcon.trace(tiny.token_ids(), read=["blocks.1.mlp.out", "blocks.1.attn.out"])
        alone = falcon.trace(tiny.token_ids(), read=["blocks.1.mlp.out"], write={"blocks.1.attn.out": 0.0})
        torch.testing.assert_close(trace["blocks.1.mlp.out"], alone["blocks.1.mlp.out"])

    def test_reading_twice_gives_the_same_bits(self, model: Model) -> None:
        first, second = (model.trace(tiny.token_ids(), read=[MID]) for _ in range(2))
        assert torch.equal(first[MID], second[MID])
        assert torch.equal(first.logits, second.logits)


class TestWriting:
    @pytest.mark.parametrize("site", ["embed", "blocks.1.resid_pre", "blocks.1.resid_mid", MID, "final_norm"])
    def test_what_is_written_is_what_is_read(self, model: Model, site: str) -> None:
        value = torch.randn(2, 12, tiny.D, generator=torch.Generator().manual_seed(3))
        trace = model.trace(tiny.token_ids(), read=[site], write={site: value})
        torch.testing.assert_close(trace[site], value, atol=1e-5, rtol=1e-5)

    def test_values_numbers_functions_and_lists_of_functions(self, model: Model) -> None:
        ids = tiny.token_ids()
        by_number = model.trace(ids, write={MID: 0.5}).logits
        by_tensor = model.trace(ids, write={MID: torch.full((tiny.D,), 0.5)}).logits
        by_list = model.trace(ids, write={MID: [edits.zero(), edits.add(0.5)]}).logits
        assert torch.equal(by_number, by_tensor)
        assert torch.equal(by_number, by_list)

    def test_ready_made_edits(self, model: Model) -> None:
        ids = tiny.token_ids()
        plain = model.trace(ids, read=[MID])[MID]
        direction = torch.randn(tiny.D, generator=torch.Generator().manual_seed(1))
        read = {
            name: model.trace(ids, read=[MID], write={MID: edit})[MID]
            for name, edit in {
                "scale": edits.scale(3.0),
                "zero": edits.zero(),
                "mean": edits.mean(),
                "to_mean": edits.mean(plain.mean((0, 1))),
                "add": edits.add(direction),
                "project_out": edits.project_out(direction),
            }.items()
        }
        torch.testing.assert_close(read["scale"], 3 * plain)
        assert not read["zero"].any()
        torch.testing.assert_close(read["mean"], plain.mean(0, keepdim=True).expand_as(plain))
        torch.testing.assert_close(read["to_mean"], plain.mean((0, 1)).expand_as(plain))
        torch.testing.assert_close(read["add"], plain + direction)
        torch.testing.assert_close(read["project_out"] @ direction, torch.zeros(2, 12), atol=1e-4, rtol=0)

    def test_an_addend_and_the_sum_that_holds_it(self, model: Model) -> None:
        """Edits of one tensor apply in the order of computation, whatever the order in the mapping."""
        ids = tiny.token_ids()
        plain = model.trace(ids, read=["blocks.1.resid_pre"])["blocks.1.resid_pre"]
        both = {"blocks.1.resid_mid": edits.scale(2.0), "blocks.1.attn.out": edits.zero()}
        for write in (both, dict(reversed(both.items()))):
            trace = model.trace(ids, read=["blocks.1.resid_mid"], write=write)
            torch.testing.assert_close(trace["blocks.1.resid_mid"], 2 * plain, atol=1e-5, rtol=1e-5)

    def test_two_names_of_one_site_are_edited_in_the_order_given(self, model: Model) -> None:
        ids = tiny.token_ids()
        plain = model.trace(ids, read=[MID])[MID]
        names = (MID, "blocks.1.hook_resid_post", "blocks.-2.resid_post", "blocks.*.resid_post")
        for first, second in itertools.permutations(names, 2):
            edited = model.trace(ids, read=[MID], write={first: edits.replace(2.0), second: edits.add(1.0)})[MID]
            torch.testing.assert_close(edited, torch.full_like(plain, 3.0))
            edited = model.trace(ids, read=[MID], write={first: edits.add(1.0), second: edits.replace(2.0)})[MID]
            torch.testing.assert_close(edited, torch.full_like(plain, 2.0))

    def test_a_wildcard_edits_every_block(self, model: Model) -> None:
        ids = tiny.token_ids()
        trace = model.trace(ids, read=["blocks.*.attn.out"], write={"blocks.*.attn.out": 0.0})
        assert len(trace) == tiny.LAYERS
        assert not any(value.any() for value in trace.values())

    def test_users_tensors_are_not_touched(self) -> None:
        falcon = wrap(tiny.build("falcon"))
        value = torch.zeros(2, 12, tiny.D)
        falcon.trace(tiny.token_ids(), write={"blocks.1.mlp.out": value})
        assert not value.any()


class TestBadInput:
    @pytest.fixture(autouse=True)
    def _model_is_unharmed(self, model: Model) -> Iterator[None]:
        """Whatever was asked for, the hooks are gone, the weights and what the model computes are as they were."""
        before = model.trace(tiny.token_ids()).logits
        yield
        assert hooks(model) == 0
        assert torch.equal(model.trace(tiny.token_ids()).logits, before)
        model.verify_unchanged()

    @pytest.mark.parametrize("site", ["blocks.1.resid_pots", "blocks.9.resid_post", "attn.out", "blocks.1.ssm.out", 3])
    def test_unknown_sites_list_those_that_exist(self, model: Model, site: Any) -> None:
        with pytest.raises(SiteNotAvailable) as error:
            model.trace(tiny.token_ids(), read=[site])
        assert str(site) in str(error.value)
        if site != 3:
            assert "blocks.{i}.resid_post (3 blocks)" in str(error.value)

    def test_a_lacking_site_says_why(self) -> None:
        with pytest.raises(SiteNotAvailable, match="added in parallel"):
            wrap(tiny.build("gpt_neox")).trace(tiny.token_ids(), read=["blocks.0.resid_mid"])
        for name in ("blocks.0.state", "blocks.*.state"):
            with pytest.raises(SiteNotAvailable, match="the model has none"):
                wrap(tiny.build("gpt_neox")).trace(tiny.token_ids(), read=[name])

    def test_an_unread_site(self, model: Model) -> None:
        with pytest.raises(
            SiteNotAvailable, match=r"'blocks.0.resid_post' was not read .* read were: blocks.1.resid_post"
        ):
            _ = model.trace(tiny.token_ids(), read=[MID])["blocks.0.resid_post"]

    @pytest.mark.parametrize(
        ("ids", "error", "message"),
        [
            ([[5, 120]], TokenOutOfRange, "Token id 120 is outside the vocabulary of tiny: ids go from 0 to 119"),
            ([[-1, 5]], TokenOutOfRange, "Token id -1"),
            ([[0.5]], TokenOutOfRange, "integers"),
            ([], EmptyBatch, "at least one row"),
            ([[]], EmptyBatch, "at least one row"),
            ([[1, 2], [3]], EmptyBatch, "never padded"),
            (None, EmptyBatch, "rectangle"),
            ("said", TokenOutOfRange, "not text: give model.tokenizer.encode"),
            (["said", "again"], TokenOutOfRange, "not text"),
            ([[5] * 65], ContextTooShort, "65 tokens do not fit into the context of tiny, which is 64"),
        ],
    )
    def test_ids(self, model: Model, ids: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            model.trace(ids)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (
                lambda x: x[:, :3],
                r"returned shape \(2, 3, 32\); the site is \(batch, pos, d_model\), here \(2, 12, 32\)",
            ),
            (torch.zeros(7), r"returned shape \(7,\)"),
            (lambda x: None, "returned NoneType"),
            (lambda x: x.numpy(), "returned ndarray"),
            (lambda x: x.double(), r"returned torch.float64 on cpu; the site is torch.float32 on cpu: convert with"),
            (lambda x: x.bfloat16(), "returned torch.bfloat16"),
            (lambda x: x > 0, "returned torch.bool"),
            (lambda x: x.to("meta"), "returned torch.float32 on meta"),
            (lambda x: x.to_sparse(), "returned a torch.sparse_coo tensor; the site is dense"),
            (lambda x: x / 0, "infinite values|NaN among 768 values"),
            (
                lambda x: x.masked_fill(x > 1, float("nan")),
                r"returned \d+ NaN among 768 values \(torch.float32\)",
            ),
            (lambda x: x * 1e30 * 1e30, "infinite values among 768 values"),
            ([edits.scale(2.0), lambda x: x[0]], r"returned shape \(12, 32\)"),
            (float("nan"), "768 NaN"),
            (lambda x: x.sum().backward(), "asks for a gradient, and this pass records none: use trace.*grad=True"),
            (lambda x: torch.autograd.grad(x.sum(), x)[0], "asks for a gradient"),
            ("loud", "'loud' is str"),
        ],
    )
    @pytest.mark.parametrize("site", [MID, "blocks.1.resid_mid"])
    def test_edits(self, model: Model, site: str, edit: Any, message: str) -> None:
        with pytest.raises(BadEdit, match=message) as error:
            model.trace(tiny.token_ids(), write={site: edit})
        assert edit == "loud" or repr(site) in str(error.value)

    @pytest.mark.parametrize("site", ["embed", "blocks.1.attn.pattern", "blocks.1.attn.q", "final_norm", "logits"])
    def test_edits_of_every_kind_of_tap(self, model: Model, site: str) -> None:
        for edit, message in ((lambda x: x[..., :-1], "returned shape"), (lambda x: x * float("nan"), "NaN")):
            with pytest.raises(BadEdit, match=message):
                model.trace(tiny.token_ids(), write={site: edit})

    def test_logits_may_be_ruled_out(self, model: Model) -> None:
        trace = model.trace(
            tiny.token_ids(), write={"logits": lambda x: x.index_fill(-1, torch.tensor([5]), -torch.inf)}
        )
        assert not trace.logits.softmax(-1)[..., 5].any()

    def test_a_gradient_of_the_edits_own(self, model: Model) -> None:
        """A step up a gradient that the edit computes itself is an edit like any other."""

        def step(site: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                leaf = site.clone().requires_grad_()
                leaf.pow(2).sum().backward()
            return site + 0.1 * leaf.grad  # type: ignore[operator]

        plain = model.trace(tiny.token_ids(), read=[MID])[MID]
        edited = model.trace(tiny.token_ids(), read=[MID], write={MID: step})
        torch.testing.assert_close(edited[MID], 1.2 * plain)
        assert not edited.logits.requires_grad

    def test_a_value_that_wants_a_gradient(self, model: Model) -> None:
        """Outside of grad=True nothing is recorded, whatever an edit brings along; within, it is."""
        vector = torch.nn.Parameter(torch.ones(tiny.D))
        for write in ({MID: vector}, {MID: edits.add(vector)}, {MID: lambda x: x + vector}):
            trace = model.trace(tiny.token_ids(), read=[MID], write=write)
            assert not trace.logits.requires_grad
            assert not trace[MID].requires_grad
            (gradient,) = torch.autograd.grad(
                model.trace(tiny.token_ids(), write=write, grad=True).logits.sum(), vector
            )
            assert gradient.any()

    def test_a_backward_pass_within_a_recorded_one(self, model: Model) -> None:
        """It frees what the pass needs, and torch says so."""

        def backward(site: torch.Tensor) -> torch.Tensor:
            site.pow(2).sum().backward()
            return site

        vector = torch.nn.Parameter(torch.ones(tiny.D))
        write = {"blocks.0.resid_post": edits.add(vector), MID: backward}
        trace = model.trace(tiny.token_ids(), write=write, grad=True)
        with pytest.raises(RuntimeError, match="second time"):
            trace.logits.sum().backward()
        model.module.zero_grad()

    @pytest.mark.parametrize("site", ["embed", MID, "blocks.1.resid_mid", "blocks.1.attn.out", "blocks.1.attn.pattern"])
    def test_an_edit_that_writes_into_what_it_is_given(self, model: Model, site: str) -> None:
        def in_place(value: torch.Tensor) -> torch.Tensor:
            value[:, 3:] *= 0.5
            return value

        def out_of_place(value: torch.Tensor) -> torch.Tensor:
            return torch.cat([value[:, :3], 0.5 * value[:, 3:]], 1)

        before = "blocks.0.resid_post"
        ours, theirs = (
            model.trace(tiny.token_ids(), read=[before, site], write={site: edit}) for edit in (in_place, out_of_place)
        )
        assert torch.equal(ours[site], theirs[site])
        assert torch.equal(ours[before], theirs[before])
        assert torch.equal(ours.logits, theirs.logits)
        assert not torch.equal(ours.logits, model.trace(tiny.token_ids(), read=[site]).logits)

    def test_an_edit_that_runs_the_model(self, model: Model) -> None:
        """What the model does for an edit is not what is read, nor a reason to stop."""
        ids = tiny.token_ids()
        seen = []

        def look(site: torch.Tensor) -> torch.Tensor:
            seen.append((model.unembed(site), model.trace(ids, read=["blocks.0.resid_post"])["blocks.0.resid_post"]))
            return 2 * site

        doubled = model.trace(ids, read=["final_norm"], write={MID: edits.scale(2.0)})["final_norm"]
        for wanted in (True, False):
            trace = model.trace(ids, read=["final_norm"], write={MID: look}, logits=wanted)
            assert torch.equal(trace["final_norm"], doubled)
        plain = model.trace(ids, read=[MID, "blocks.0.resid_post"])
        assert torch.equal(seen[-1][0], model.unembed(plain[MID]))
        assert torch.equal(seen[-1][1], plain["blocks.0.resid_post"])

    def test_an_error_in_an_edit_leaves_no_hook_and_no_change(self, model: Model) -> None:
        before = model.trace(tiny.token_ids()).logits

        def explode(_: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError("mine")

        for site in (MID, "blocks.1.attn.pattern", "blocks.1.resid_mid"):
            with pytest.raises(ZeroDivisionError, match="mine"):
                model.trace(tiny.token_ids(), write={site: explode})
            assert hooks(model) == 0
        assert torch.equal(model.trace(tiny.token_ids()).logits, before)

    def test_positions_outside_and_nothing_to_do(self, model: Model) -> None:
        with pytest.raises(UsageProblem, match="Position 12 is outside the 12 positions"):
            model.trace(tiny.token_ids(), read=[MID], positions=[12])
        with pytest.raises(UsageProblem, match="empty"):
            model.trace(tiny.token_ids(), read=[MID], positions=[])
        with pytest.raises(UsageProblem, match="Nothing to trace"):
            model.trace(tiny.token_ids(), logits=False)


def test_a_head_that_is_called_past_its_hooks_still_gives_the_chosen_positions() -> None:
    """A user's own forward may call a module's ``forward`` directly, which runs no hook."""
    module = tiny.build("gpt2")
    model = wrap(module)
    whole = model.trace(tiny.token_ids()).logits
    module.lm_head.__class__ = type("Quiet", (torch.nn.Linear,), {"__call__": torch.nn.Linear.forward})
    torch.testing.assert_close(model.trace(tiny.token_ids(), positions=[3]).logits, whole[:, [3]])
