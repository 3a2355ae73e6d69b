"""Models that accelerate has spread over memory and disk: the same sites, the same numbers, the same errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from interp_assert.models import Model, edits, wrap

from . import spread, tiny

pytest.importorskip("accelerate", reason="large models need the extra interp-assert[large]")

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, untied": ("llama", {}),
    "gpt2": ("gpt2", {}),
    "gpt_neox": ("gpt_neox", {}),
    "mamba": ("mamba", {}),
    "mixtral": ("mixtral", {}),
    "gemma2": ("gemma2", {}),
}


@pytest.fixture(scope="module", params=MODELS, ids=lambda name: name.replace(", ", "-"))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    """(in memory, spread over memory and disk): the same weights."""
    architecture, changes = MODELS[request.param]
    plain = tiny.build(architecture, **changes)
    return wrap(plain, id="plain"), wrap(spread.offloaded(plain, tmp_path_factory.mktemp("large")), id="spread")


class TestTheSameModel:
    def test_identity_and_size(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        assert large.identity.sha256 == plain.identity.sha256
        assert large.n_parameters == plain.n_parameters
        assert (large.dtype, large.device) == (plain.dtype, plain.device)
        large.verify_unchanged()

    def test_anatomy(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        for of in ("sites", "missing", "routes", "blocks", "replays", "joined", "streams", "stream_dtype"):
            assert getattr(large.anatomy, of) == getattr(plain.anatomy, of), of
        assert large.anatomy.readout is not None
        assert large.anatomy.readout.describe() == plain.anatomy.readout.describe()  # type: ignore[union-attr]
        assert [proof.error for proof in large.anatomy.proofs] == [proof.error for proof in plain.anatomy.proofs]

    def test_reads(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        ids = tiny.token_ids()
        ours, theirs = (model.trace(ids, read=plain.anatomy.sites) for model in (large, plain))
        for site in plain.anatomy.sites:
            torch.testing.assert_close(ours[site], theirs[site], atol=1e-6, rtol=1e-6, msg=site)
        torch.testing.assert_close(large.unembed(ours["blocks.-1.resid_post"]), ours.logits, atol=1e-5, rtol=1e-4)

    def test_edits(self, pair: tuple[Model, Model]) -> None:
        plain, large = pair
        ids = tiny.token_ids()
        for site in plain.anatomy.sites:
            ours, theirs = (model.trace(ids, write={site: edits.scale(1.5)}).logits for model in (large, plain))
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6, msg=site)
            assert not torch.equal(ours, large.trace(ids).logits), site

    def test_nothing_is_left_behind(self, pair: tuple[Model, Model]) -> None:
        """After a stopped pass and after an error, the weights are on disk again, and only accelerate's hooks on."""
        _, large = pair
        away = spread.on_meta(large.module)
        large.trace(tiny.token_ids(), read=["blocks.1.resid_post"], logits=False)
        assert spread.on_meta(large.module) == away
        for site in large.anatomy.sites:
            with pytest.raises(ZeroDivisionError):
                large.trace(tiny.token_ids(), write={site: lambda value: 1 / 0})
            assert spread.on_meta(large.module) == away, site
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in large.module.modules())
        hooks = [part._hf_hook for part in large.module.modules() if hasattr(part, "_hf_hook")]
        assert hooks
        assert all(type(hook).__module__ == "accelerate.hooks" for hook in hooks)
        large.verify_unchanged()


def test_the_recorded_pass_keeps_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording keeps what the model computes, not what it computes with, or a model that does not fit would not."""
    from interp_assert.models import graph

    held: list[int] = []
    leave = graph._Recorder.leave

    def count(self: graph._Recorder, out: Any) -> None:
        leave(self, out)
        alive = {id(t) for kept in self.alive.values() for t in kept if t.is_leaf and isinstance(t, torch.nn.Parameter)}
        held.append(len(alive))

    monkeypatch.setattr(graph._Recorder, "leave", count)
    large = wrap(spread.offloaded(tiny.build("llama"), tmp_path))
    assert large.anatomy.n_blocks == tiny.LAYERS
    in_memory = len(list(large.module.parameters())) - len(spread.on_meta(large.module))
    assert max(held) <= in_memory + 2
