"""Language models of the user's own: opened by ``wrap`` without a config, with the same sites, proofs and twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from interp_assert import (
    Budget,
    Family,
    InterpAssertionError,
    InterpError,
    Model,
    Outcome,
    assert_induction,
    register_family,
    wrap,
)
from interp_assert.conformance import CHECKS, Passes
from interp_assert.errors import (
    ModelBroken,
    ModelChanged,
    ModelRefused,
    SiteNotAvailable,
    UnprovenAnatomy,
    UsageProblem,
)
from interp_assert.models import SCHEMES, edits, twins

from . import own_models as own
from .own_models import VOCAB, D, build, stack

RECURRENT = {
    "GRUs in a row": own.GRULanguageModel,
    "one GRU of two layers": lambda: own.RecurrentModel(nn.GRU),
    "an LSTM, positions first": lambda: own.RecurrentModel(nn.LSTM, batch_first=False),
    "a plain RNN": lambda: own.RecurrentModel(nn.RNN, layers=1),
}
STACKS = {
    "hand-made": stack,
    "in parallel": lambda: stack(parallel=True),
    "one block": lambda: stack(count=1),
    "nn.TransformerEncoder": own.TorchEncoder,
    "nn.TransformerEncoder, post-norm": lambda: own.TorchEncoder(norm_first=False),
    "nn.TransformerEncoder, positions first": lambda: own.TorchEncoder(batch_first=False),
    "nn.MultiheadAttention": lambda: stack(own.TorchAttentionBlock),
}


def ids(batch: int = 2, length: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def everything_holds(model: Model) -> None:
    """All sites are read and proven, and nothing fails."""
    sites = list(model.anatomy.sites)
    trace = model.trace(ids(), read=sites)
    assert set(trace) == set(sites)
    assert [proof.describe() for proof in model.anatomy.proofs if not proof.holds] == []
    last = trace[f"blocks.{model.anatomy.n_blocks - 1}.resid_post"]
    torch.testing.assert_close(model.unembed(last), trace.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_of_blocks_needs_no_registration(name: str) -> None:
    model = wrap(build(STACKS[name]))
    everything_holds(model)
    for part in ("resid_pre", "attn.q", "attn.pattern", "attn.out", "mlp.out", "mlp.neurons", "resid_post"):
        assert model.has(f"blocks.0.{part}"), part
    assert {block.kinds for block in model.anatomy.blocks} == {("attn", "mlp")}
    assert (model.vocab_size, model.max_positions, model.tokenizer) == (VOCAB, own.CONTEXT, None)
    assert model.architecture == model.class_name == type(model.module).__name__


def test_neurons_are_what_the_last_matrix_multiplies_wherever_that_happens() -> None:
    model = wrap(build(lambda: stack(own.FunctionalBlock)))
    everything_holds(model)
    trace = model.trace(ids(), read=["blocks.1.mlp.neurons", "blocks.1.mlp.out"])
    mlp = model.module.blocks[1].mlp
    assert trace["blocks.1.mlp.neurons"].shape == (2, 12, 2 * D)
    torch.testing.assert_close(trace["blocks.1.mlp.neurons"] @ mlp.w_out + mlp.b_out, trace["blocks.1.mlp.out"])


def test_what_is_wrapped_around_a_block_adds_nothing() -> None:
    class Wrapper(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.before, self.block = nn.Identity(), block

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(self.before(x))

    for parallel in (False, True):
        plain = build(lambda parallel=parallel: stack(parallel=parallel))
        expected = wrap(plain)
        sites = list(expected.anatomy.sites)
        values = expected.trace(ids(), read=sites)
        plain.blocks = nn.ModuleList(Wrapper(Wrapper(block)) for block in plain.blocks).eval()
        model = wrap(plain)
        everything_holds(model)
        assert list(model.anatomy.sites) == sites
        again = model.trace(ids(), read=sites)
        assert [site for site in sites if not torch.equal(again[site], values[site])] == []


@pytest.mark.parametrize("start", ["none", "zeros"])
def test_what_blocks_hand_through_beside_the_stream_is_no_stream(start: str) -> None:
    class Sharing(own.HandMadeBlock):
        """All blocks take a share of what the first one made."""

        def forward(self, x: torch.Tensor, first: torch.Tensor | None) -> Any:
            out = super().forward(x)
            first = self.attend(self.n1(x)) if first is None or not first.any() else first
            return out + 0.1 * first, first

    class Model(own.Stack):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.tokens(ids) + self.places[: ids.shape[1]]
            first = torch.zeros_like(x) if start == "zeros" else None
            for block in self.blocks:
                x, first = block(x, first)
            return self.unembed(self.norm(x))

    model = wrap(build(lambda: Model([Sharing() for _ in range(3)])))
    everything_holds(model)
    assert model.trace(ids(), "blocks.*.resid_post")["blocks.1.resid_post"].shape == (2, 12, D)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_model_needs_none_either(name: str) -> None:
    model = wrap(build(RECURRENT[name]))
    everything_holds(model)
    assert model.anatomy.n_blocks == (own.LAYERS if name == "GRUs in a row" else 1)
    assert model.max_positions is None, "nothing limits the length of a recurrent model"
    assert model.anatomy.d_model == D


def test_the_streams_of_a_gru_are_what_its_layers_return() -> None:
    module = build(own.GRULanguageModel)
    model, tokens = wrap(module), ids()
    trace = model.trace(
        tokens, read=["blocks.*.resid_post", "final_norm"], write={"blocks.1.resid_post": edits.scale(0.5)}
    )
    with torch.no_grad():
        first = module.recurrences[0](module.embed(tokens))[0]
        second = module.recurrences[1](first)[0] * 0.5
        third = module.recurrences[2](second)[0]
        expected = module.unembed(module.norm(third))
    for block, value in enumerate((first, second, third)):
        assert torch.equal(trace[f"blocks.{block}.resid_post"], value)
    assert torch.equal(trace.logits, expected)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda hidden, logits: logits, id="tensor"),
        pytest.param(lambda hidden, logits: (hidden, logits), id="tuple"),
        pytest.param(lambda hidden, logits: {"state": hidden, "scores": [logits]}, id="dict"),
        pytest.param(own.NamedOutput, id="named tuple"),
        pytest.param(own.Output, id="dataclass"),
    ],
)
def test_logits_are_found_in_whatever_is_returned(form: Callable[..., Any]) -> None:
    module = build(lambda: own.Returning(form))
    model = wrap(module)
    with torch.no_grad():
        expected = module.stack(ids())
        assert type(model.forward(ids())) is type(module(ids()))
    assert torch.equal(model.trace(ids()).logits, expected)
    assert torch.equal(model.trace(ids(), write={"logits": edits.zero()}).logits, torch.zeros_like(expected))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_twins_of_own_models(scheme: str) -> None:
    for make in (own.GRULanguageModel, stack):
        module = build(make)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        if make is stack and scheme.startswith("init"):
            with pytest.raises(ModelRefused, match=r"leaves places as trained.*initialise="):
                next(twins(wrap(module), scheme=scheme, n=1))
            continue
        model = wrap(module)
        twin = next(twins(model, scheme=scheme, n=1))
        assert twin.anatomy.sites == model.anatomy.sites
        kept = {"embed.weight", "unembed.weight", "unembed.bias", "norm.weight", "norm.bias", "tokens.weight"}
        for name, value in twin.module.state_dict().items():
            random = value.ndim > 1 or scheme == "init"
            if name in kept and "_" in scheme:
                assert torch.equal(value, before[name]), name
            elif random and "norm" not in name and "n1" not in name and "n2" not in name:
                assert not torch.equal(value, before[name]), name
        assert (twin.vocab_size, twin.max_positions) == (model.vocab_size, model.max_positions)
        assert torch.isfinite(twin.trace(ids()).logits).all()
        model.verify_unchanged()


class TestShownStreams:
    """A module with ``get_hidden_states``: its streams can be read, whatever it is made of."""

    def test_they_are_sites_to_read(self) -> None:
        module = build(own.Opaque)
        model, tokens = wrap(module), ids()
        assert model.anatomy.n_blocks == own.LAYERS
        assert [proof.describe() for proof in model.anatomy.proofs if not proof.holds] == []
        streams = module.get_hidden_states(tokens)
        trace = model.trace(tokens, read=["blocks.*.resid_pre", "blocks.*.resid_post"], positions=[2, -1])
        for block in range(own.LAYERS):
            assert torch.equal(trace[f"blocks.{block}.resid_pre"], streams[block][:, [2, -1]])
            assert torch.equal(trace[f"blocks.{block}.resid_post"], streams[block + 1][:, [2, -1]])
        assert model.trace(tokens, read="blocks.0.resid_post", logits=False)["blocks.0.resid_post"].shape == (2, 12, D)
        with pytest.raises(SiteNotAvailable, match=r"'blocks.1.resid_post' can be read, not written: the module shows"):
            model.trace(tokens, write={"blocks.1.resid_post": edits.zero()})
        passes = Passes.of(model)
        assert [name for name in ("write_back", "overwriting", "foreign_rows") if not CHECKS[name].lacks(passes)] == []
        assert CHECKS["chain"](model, tokens).holds
        assert "edits of residual streams: the module shows" in model.anatomy.report()
        with pytest.raises(UnprovenAnatomy, match=r"register_family\(Opaque\): Family\(readout="):
            model.unembed(streams[-1])
        assert not module._forward_pre_hooks
        twin = next(twins(model, n=1))
        assert torch.equal(
            twin.trace(tokens, read="blocks.2.resid_post")["blocks.2.resid_post"],
            twin.module.get_hidden_states(tokens)[3],
        )

    def test_a_stated_readout_is_proven(self) -> None:
        class Read(own.Opaque):
            """With a family that says how logits are made."""

        register_family(Read)(lambda module: Family(readout=lambda module, residual: module.read_out(residual)))
        model = wrap(build(Read))
        trace = model.trace(ids(), read="blocks.2.resid_post")
        torch.testing.assert_close(model.unembed(trace["blocks.2.resid_post"]), trace.logits)
        assert model.unembed(torch.zeros(5, 3, 1, D)).shape == (5, 3, 1, VOCAB)

        class Misread(own.Opaque):
            """With a family that forgets the norm."""

        register_family(Misread)(lambda module: Family(readout=lambda module, residual: residual @ module.table.T))
        model = wrap(build(Misread))
        with pytest.raises(UnprovenAnatomy, match="unembedding the last residual gives the logits: relative error"):
            model.unembed(trace["blocks.2.resid_post"])

    def test_a_family_may_show_them_in_another_form(self) -> None:
        class Stacked(own.Stack):
            """Blocks that could be found; its family shows streams instead, as one tensor."""

        def show(module: Any, ids: torch.Tensor) -> torch.Tensor:
            streams = [module.tokens(ids) + module.places[: ids.shape[1]]]
            for block in module.blocks:
                streams.append(block(streams[-1]))
            return torch.stack(streams)

        register_family(Stacked)(lambda module: Family(hidden_states=show))
        model = wrap(build(lambda: Stacked([own.HandMadeBlock() for _ in range(2)])))
        assert model.anatomy.n_blocks == 2
        assert model.anatomy.read_only("blocks.0.resid_post")
        assert model.trace(ids(), read="blocks.*.resid_post")["blocks.1.resid_post"].shape == (2, 12, D)

    def test_a_stream_that_sees_the_future_is_withdrawn(self) -> None:
        model = wrap(build(lambda: own.Opaque(future=True)))
        assert "no stream sees the future" in model.anatomy.missing["blocks.1.resid_post"]
        assert model.has("blocks.0.resid_post")
        assert "causality" in model.anatomy.missing

    def test_what_is_shown_must_be_streams(self) -> None:
        class Strange(own.Opaque):
            def get_hidden_states(self, ids: torch.Tensor) -> Any:
                return self.shown

            def forward(self, ids: torch.Tensor) -> torch.Tensor:
                return self.read_out(own.Opaque.get_hidden_states(self, ids)[-1])

        module = build(Strange)
        for shown in (3, [], [torch.zeros(2, 8, D)], [torch.zeros(2, 8, D), torch.zeros(2, 8, 7)]):
            module.shown = shown
            with pytest.raises(ModelRefused, match=r"residual streams that Strange shows are .*; due is a list"):
                _ = wrap(module).anatomy


class TestWhatCannotBeWrapped:
    def test_what_is_no_module(self) -> None:
        for thing, said in (
            (own.Stack, "the class Stack; create an instance"),
            ("gpt2", "not str; use load"),
            (3, "int"),
            (wrap(build(stack)), "it is one already: wrap its .module"),
        ):
            with pytest.raises(ModelRefused, match=said):
                wrap(thing)  # type: ignore[arg-type]

    def test_a_forward_that_wants_more_than_ids(self) -> None:
        class Wants(own.Stack):
            def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> Any:
                return super().forward(ids)

        with pytest.raises(ModelRefused, match=r"(?s)missing 1 required.*lengths.*register_family\(Wants\)"):
            wrap(build(lambda: Wants([own.HandMadeBlock()])))

    def test_a_fault_of_its_own_is_told_with_its_line(self) -> None:
        def fails(hidden: Any, logits: Any) -> Any:
            return logits.reshape(7)

        line = fails.__code__.co_firstlineno + 1
        with pytest.raises(
            ModelRefused, match=rf"RuntimeError: .*7.* \(test_own_models.py, line {line}\)\. Its forward"
        ):
            wrap(build(lambda: own.Returning(fails)))

    def test_a_module_that_makes_nan_is_named(self) -> None:
        class Overflows(own.HandMadeBlock):
            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(x) * float("nan")

        module = build(lambda: own.Stack([own.HandMadeBlock(), Overflows(), own.HandMadeBlock()]))
        hooked = [part for part in module.modules() if part._forward_hooks]
        with pytest.raises(ModelRefused, match=r"NaN, of ids that are all 0; .* is blocks\.1 \(Overflows\)"):
            wrap(module)
        assert [part for part in module.modules() if part._forward_hooks] == hooked

    def test_a_module_with_infinite_logits_is_refused(self) -> None:
        module = build(lambda: own.Returning(lambda hidden, logits: logits + float("inf")))
        with pytest.raises(ModelRefused, match=r"infinite, of ids that are all 0 \(\d+ of \d+\)"):
            wrap(module)

    def test_no_logits_for_every_position(self) -> None:
        module = build(lambda: own.Returning(lambda hidden, logits: logits[:, [-1]]))
        with pytest.raises(ModelRefused, match=r"no logits .* every position .* \(2, 1, 60\).*Family\(forward"):
            wrap(module)
        module.form = lambda hidden, logits: {"loss": 3.0}
        with pytest.raises(ModelRefused, match="dict, in which no tensor was found"):
            wrap(module)

    def test_several_tensors_that_could_be_logits(self) -> None:
        module = build(lambda: own.Returning(lambda hidden, logits: (logits, logits + 1)))
        with pytest.raises(ModelRefused, match=r"several .*0: \(2, 11, 60\), 1: \(2, 11, 60\).*Family\(logits="):
            wrap(module)

    def test_a_vocabulary_that_is_not_clear(self) -> None:
        module = build(lambda: own.Returning(lambda hidden, logits: hidden))
        with pytest.raises(ModelRefused, match=r"embedding has 60 rows.*32 entries.*vocab_size=32.*hidden state"):
            wrap(module)

    def test_sizes_that_cannot_be(self) -> None:
        module = build(stack)
        for size in (0, -1, True, "60"):
            with pytest.raises(UsageProblem, match="vocab_size is a whole number"):
                wrap(module, vocab_size=size)  # type: ignore[arg-type]
        with pytest.raises(UsageProblem, match="vocab_size=61 is too large for this Stack: its logits have 60 entries"):
            wrap(module, vocab_size=61)
        with pytest.raises(UsageProblem, match="max_positions is a whole number"):
            wrap(module, max_positions=0)
        model = wrap(module, vocab_size=50, max_positions=9)
        assert (model.vocab_size, model.max_positions) == (50, 9)
        everything_holds_below = model.trace(ids(length=9) % 50, read="blocks.*.resid_post")
        assert len(everything_holds_below) == own.LAYERS

    def test_a_model_that_is_not_deterministic(self) -> None:
        module = build(lambda: own.Returning(lambda hidden, logits: torch.nn.functional.dropout(logits, 0.5, True)))
        with pytest.raises(ModelRefused, match=r"not deterministic.*follows eval\(\)"):
            wrap(module)

    def test_training_mode(self) -> None:
        module = build(own.TorchEncoder).train()
        model = wrap(module)
        assert not any(part.training for part in module.modules())
        module.train()
        with pytest.raises(UsageProblem, match=r"TorchEncoder is in training mode.*\.eval\(\)"):
            model.trace(ids())

        class Stubborn(nn.Dropout):
            def train(self, mode: bool = True) -> Any:
                return self

        module.encoder.layers[0].dropout = Stubborn(0.5)
        with pytest.raises(ModelRefused, match=r"encoder.layers.0.dropout stays in training mode"):
            wrap(module)

    def test_weights_that_are_not_there(self) -> None:
        with torch.device("meta"):
            module = stack()
        with pytest.raises(ModelRefused, match=r"places of this Stack is on the meta device.*load the weights"):
            wrap(module)
        with pytest.raises(ModelRefused, match="no parameters"):
            wrap(nn.Identity())
        broken = build(stack)
        with torch.no_grad():
            broken.places[0, 0] = float("nan")
        with pytest.raises(ModelBroken, match=r"not finite: places \(torch.float32\) holds NaN"):
            wrap(broken)
        with torch.no_grad():
            broken.places[0, 0] = float("-inf")
        with pytest.raises(ModelBroken, match="ranges from -inf to "):
            wrap(broken)

    def test_changed_weights_are_noticed(self) -> None:
        module = build(own.GRULanguageModel)
        model = wrap(module)
        with torch.no_grad():
            module.norm.weight[0] += 1
        with pytest.raises(ModelChanged):
            model.verify_unchanged()


class TestRegistration:
    def test_a_stack_that_is_no_list(self) -> None:
        class Scattered(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.tokens, self.head = nn.Embedding(VOCAB, D), nn.Linear(D, VOCAB)
                self.first, self.second = own.HandMadeBlock(), own.HandMadeBlock()

            def forward(self, ids: torch.Tensor) -> torch.Tensor:
                return self.head(self.second(self.first(self.second(self.tokens(ids)))))

        with pytest.raises(InterpError, match=r"no stack of blocks.*register_family\(Scattered\): Family\(blocks"):
            _ = wrap(build(Scattered)).anatomy

        @register_family(Scattered)
        def scattered(module: Scattered) -> Family:
            return Family(blocks=["first", "second"])

        model = wrap(build(Scattered))
        everything_holds(model)
        assert [block.path for block in model.anatomy.blocks] == ["second", "first", "second"]

    def test_a_forward_of_its_own(self) -> None:
        """As in nanoGPT: without targets only the last position's logits are made."""

        class Frugal(own.Stack):
            def forward(self, idx: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
                logits = super().forward(idx)
                return (logits[:, [-1]], None) if targets is None else (logits, logits.mean())

        @register_family(Frugal)
        def frugal(module: Frugal) -> Family:
            return Family(forward=lambda module, ids: module(ids, targets=ids)[0])

        model = wrap(build(lambda: Frugal([own.HandMadeBlock() for _ in range(2)])))
        everything_holds(model)
        assert model.trace(ids(), positions=[3], logits=True).logits.shape == (2, 1, VOCAB)
        assert torch.isfinite(next(twins(model, n=1)).trace(ids()).logits).all()

    def test_a_readout_of_its_own(self) -> None:
        class Told(own.Stack):
            """Its family says what is found anyway, for the sake of one that is not."""

        register_family(Told)(lambda module: Family(readout=lambda module, x: module.unembed(module.norm(x))))
        model = wrap(build(lambda: Told([own.HandMadeBlock() for _ in range(2)])))
        everything_holds(model)
        assert "readout       as its family states it" in model.anatomy.report()

    def test_where_the_logits_are_and_how_it_is_initialised(self) -> None:
        class Both(own.Returning):
            """Two tensors of one shape."""

        @register_family(Both)
        def both(module: Both) -> Family:
            def initialise(module: nn.Module) -> None:
                for parameter in module.parameters():
                    nn.init.normal_(parameter, std=0.1)

            return Family(logits=1, initialise=initialise)

        module = build(lambda: Both(lambda hidden, logits: (logits + 1, logits)))
        model = wrap(module)
        assert model.trace(ids()).logits.mean() == pytest.approx(float(module.stack(ids()).detach().mean()))
        twin = next(twins(model, scheme="init", n=1))
        assert float(twin.module.stack.norm.weight.mean().detach()) == pytest.approx(0, abs=0.1)
        module.form = lambda hidden, logits: logits
        with pytest.raises(ModelRefused, match="states that its logits are at 1"):
            wrap(module)

    @pytest.mark.parametrize(
        ("given", "said"),
        [(lambda x: x, r"\(1, 8, 32\) for"), (lambda x: None, "NoneType"), (lambda x: x[0], r"\(8, 32\)")],
    )
    def test_a_readout_that_gives_no_logits(self, given: Callable[..., Any], said: str) -> None:
        class Mute(own.Stack):
            """Its family states the way to something else."""

        register_family(Mute)(lambda module: Family(readout=lambda module, x: given(x)))
        with pytest.raises(UsageProblem, match=rf"family of Mute states gives .*{said}.* of 60 token ids"):
            _ = wrap(build(lambda: Mute([own.HandMadeBlock()]))).anatomy

    def test_what_is_registered_wrongly(self) -> None:
        with pytest.raises(UsageProblem, match="for a class or the name of one, not 3"):
            register_family(3)  # type: ignore[arg-type]
        with pytest.raises(UsageProblem, match="decorates a function"):
            register_family(own.Stack)(Family())  # type: ignore[arg-type]
        with pytest.raises(UsageProblem, match="not an instance of Linear: its class is meant"):
            register_family(nn.Linear(1, 1))  # type: ignore[arg-type]
        with pytest.raises(UsageProblem, match=r"Family\(readout=...\) is a function of the module, not 'head'"):
            Family(readout="head")  # type: ignore[arg-type]
        with pytest.raises(UsageProblem, match=r"list of paths, not one: \['blocks.0'\]"):
            Family(blocks="blocks.0")

        class Wrong(own.Stack):
            """Declared by something that is no Family."""

        register_family(Wrong)(lambda module: {"blocks": []})  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageProblem, match="registered for Wrong returned dict"):
            wrap(build(lambda: Wrong([own.HandMadeBlock()])))

        class Elsewhere(own.Stack):
            """Declared with paths that are not there."""

        register_family(Elsewhere)(lambda module: Family(blocks=["layers.0"]))
        with pytest.raises(UsageProblem, match=r"block 'layers.0' is no module of this Elsewhere; it has .*blocks"):
            _ = wrap(build(lambda: Elsewhere([own.HandMadeBlock()]))).anatomy

    def test_a_class_may_be_named_and_is_inherited_from(self) -> None:
        class Named(own.Stack):
            """Registered by its name only."""

        class Heir(Named):
            """Inherits the registration."""

        register_family("Named")(lambda module: Family(max_positions=7))
        for kind in (Named, Heir):
            assert wrap(build(lambda kind=kind: kind([own.HandMadeBlock()]))).max_positions == 7


def trained_gru(vocab: int, n: int, steps: int = 250) -> own.GRULanguageModel:
    """A GRU that learned to continue a random sequence that it reads a second time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = own.GRULanguageModel(vocab, 64, 1)
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
        for _ in range(steps):
            once = torch.stack([torch.randperm(vocab)[:n] for _ in range(64)])
            twice = torch.cat([once, once], 1)
            logits = module(twice[:, :-1])[:, n:]
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits.flatten(0, 1), twice[:, n + 1 :].flatten()).backward()
            optimiser.step()
            schedule.step()
    return module.eval().requires_grad_(False)


def test_claims_are_decided_about_a_gru() -> None:
    budget = Budget.named("quick")
    model = wrap(trained_gru(16, 4), id="gru")
    verdict = assert_induction(model, n=4, budget=budget)
    assert verdict.outcome is Outcome.PASS
    assert {control.outcome for control in verdict.controls} == {Outcome.PASS}
    with pytest.raises(InterpAssertionError, match=r"INCONCLUSIVE|FAIL"):
        assert_induction(wrap(build(lambda: own.GRULanguageModel(16, 64, 1))), n=4, budget=budget)


def test_the_state_of_a_gru_is_read_and_written_at_every_step() -> None:
    module = build(own.GRULanguageModel)
    model, tokens = wrap(module), ids()
    assert all(model.has(f"blocks.{block}.state") for block in range(own.LAYERS))

    def halve_step_5(state: torch.Tensor) -> torch.Tensor:
        changed = state.clone()
        changed[:, 5] *= 0.5
        return changed

    trace = model.trace(tokens, read=["blocks.1.state", "blocks.1.resid_pre"], write={"blocks.1.state": halve_step_5})
    with torch.no_grad():
        layer, stream = module.recurrences[1], trace["blocks.1.resid_pre"]
        early, state = layer(stream[:, :6])
        late, _ = layer(stream[:, 6:], state * 0.5)
        after = torch.cat([early[:, :5], early[:, 5:6] * 0.5, late], 1)
        expected = module.unembed(module.norm(module.recurrences[2](after)[0]))
    torch.testing.assert_close(trace["blocks.1.state"].reshape(after.shape), after, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(trace.logits, expected, atol=1e-5, rtol=1e-5)
