"""What counts as two libraries agreeing, judged on a library that is told what to get wrong."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import torch
from models import tiny

from interp_assert import Model, wrap
from interp_assert.bridges import BACKENDS, Agreement, BackendUnavailable, backend, compare, open_backend
from interp_assert.errors import UsageProblem


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(tiny.build("llama"))


class Echo:
    """A library that sees what we see, but for what a test makes of it."""

    name = "echo"

    def __init__(self, model: Model, wrong: str = "", by: float = 1.0, deaf: bool = False) -> None:
        self.model, self.wrong, self.by, self.deaf = model, wrong, by, deaf
        self.sites = ("embed", "blocks.1.attn.pattern", "blocks.1.resid_post", "logits")

    def capture(self, ids: torch.Tensor, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        trace = self.model.trace(ids, read=list(sites))
        return {site: trace[site] * (self.by if site == self.wrong else 1.0) for site in sites}

    def logits(self, ids: torch.Tensor, site: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor | None:
        if site == self.wrong and self.deaf:
            return self.model.trace(ids).logits
        return None if site == "blocks.1.attn.pattern" else self.model.trace(ids, write={site: edit}).logits


def test_agreement_is_found_where_it_is(model: Model) -> None:
    found = compare(model, Echo(model))
    assert all(agreement.holds for agreement in found)
    assert [(agreement.kind, agreement.site) for agreement in found] == [
        ("capture", "embed"),
        ("capture", "blocks.1.attn.pattern"),
        ("capture", "blocks.1.resid_post"),
        ("capture", "logits"),
        ("edit", "embed"),
        ("edit", "blocks.1.resid_post"),
    ]


def test_a_value_that_is_off_is_named(model: Model) -> None:
    found = compare(model, Echo(model, "blocks.1.resid_post", 1 + 3e-5), kinds=["capture"])
    [wrong] = [agreement for agreement in found if not agreement.holds]
    assert wrong.describe() == "blocks.1.resid_post: its value in echo differs from ours by 3e-05 > 1e-05"
    assert all(agreement.holds for agreement in compare(model, Echo(model, "blocks.1.resid_post", 1 + 3e-6)))


def test_an_edit_that_the_other_library_drops_is_named(model: Model) -> None:
    found = compare(model, Echo(model, "blocks.1.resid_post", deaf=True), kinds=["edit"])
    [wrong] = [agreement for agreement in found if not agreement.holds]
    assert "the logits after an edit of it in echo differs from ours by" in wrong.describe()
    nothing = Agreement("echo", "blocks.1.mlp.out", "edit", 0.0, 1e-5, moved=0.0)
    assert not nothing.holds
    assert "nothing was compared" in nothing.describe()


def test_what_cannot_be_opened(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageProblem, match="unknown library 'baukit': choose transformer_lens or nnsight"):
        open_backend("baukit", model)
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    for name, extra in zip(BACKENDS, ("transformer-lens", "nnsight"), strict=True):
        with pytest.raises(
            BackendUnavailable, match=rf"{name} is not installed: pip install 'interp-assert\[{extra}\]'"
        ):
            open_backend(name, model)


def test_the_suite_runs_or_says_why_not(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    there = [name for name in BACKENDS if importlib.util.find_spec(name)]
    # Within this process what a run imports is forgotten after it, and not every library can be imported twice.
    run = pytester.runpytest_subprocess if there else pytester.runpytest_inprocess
    result = run("--interp-suites=backends", "--interp-model=zoo:gpt2", "-rs")
    result.assert_outcomes(passed=2 * len(there), skipped=4 - 2 * len(there))
    for name in set(BACKENDS) - set(there):
        result.stdout.fnmatch_lines(f"SKIPPED*{name} is not installed: pip install 'interp-assert*")
        if not there:  # said without -rs, too
            result.stdout.fnmatch_lines(f"interp: skipped 2: {name} is not installed: pip install 'interp-assert*")
    assert (result.ret == 0) == bool(there), "a run in which nothing was decided is no success"


class TestUnwrapping:
    """By the package that an object's class comes from; the libraries themselves are not needed for it."""

    def test_an_nnsight_model(self) -> None:
        class Envoy:
            __module__ = "nnsight.intervention.envoy"

            def __init__(self, dispatched: bool) -> None:
                self._module, self.dispatched = tiny.build("gpt2"), dispatched
                self.tokenizer = SimpleNamespace(bos_token_id=None)

            def dispatch(self) -> None:
                self._module, self.dispatched = tiny.build("llama"), True

        class LanguageModel(Envoy):
            __module__ = "nnsight.modeling.language"

        ready = LanguageModel(dispatched=True)
        model = wrap(ready)
        assert model.module is ready._module
        assert model.tokenizer is ready.tokenizer
        assert wrap(ready, tokenizer := SimpleNamespace(bos_token_id=1)).tokenizer is tokenizer
        assert wrap(LanguageModel(dispatched=False)).architecture == "llama", "its weights are read first"

    def test_a_bridge(self) -> None:
        class TransformerBridge(torch.nn.Module):
            __module__ = "transformer_lens.model_bridge.transformer_bridge"
            tokenizer = None

        bridge = TransformerBridge()
        bridge.__dict__["original_model"] = tiny.build("gpt2")
        assert wrap(bridge).module is bridge.original_model
        del bridge.__dict__["original_model"]
        from interp_assert.errors import ModelRefused

        with pytest.raises(ModelRefused, match="runs its model elsewhere"):
            wrap(bridge)
