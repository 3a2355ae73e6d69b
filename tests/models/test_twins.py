"""Random-weight twins: what each scheme changes and keeps, that nothing trained leaks in, and that the model is
untouched."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interp_assert import InterpError, Model, wrap
from interp_assert.errors import ModelBroken, ModelRefused, UsageProblem
from interp_assert.models import SCHEMES, Twins, default_twins, twins
from interp_assert.models.randomise import is_matrix, kept_parameters
from interp_assert.models.sources.identity import digest_of_state
from interp_assert.models.weights import lending

from .tiny_models import gpt2, llama, mamba, mamba2

MAKERS: list[Callable[[], Any]] = [gpt2, llama, mamba, mamba2]


@pytest.fixture(params=[True, False], ids=["copied", "borrowed"])
def two_fit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(lending, "two_fit", lambda model: request.param)
    return bool(request.param)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.module.named_parameters()}


def fail_within_the_loop(iterator: Twins) -> None:
    for _ in iterator:
        raise ZeroDivisionError


def digest(module: torch.nn.Module) -> str:
    return digest_of_state(module.state_dict())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_model_is_untouched_and_every_matrix_is_random(make: Callable[[], Any], scheme: str, two_fit: bool) -> None:
    module = make()
    model = wrap(module, id="m")
    trained, before = weights(model), digest(module)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    kept = kept_parameters(module) if "_" in scheme else set()
    seen = []
    for twin in twins(model, scheme=scheme, n=2, seed=3):
        values = weights(twin)
        for name, value in values.items():
            same = torch.equal(value, trained[name])
            if name in kept:
                assert same, f"{name} is kept by {scheme}"
            elif is_matrix(value) and not name.endswith("A_log"):
                assert not torch.isclose(value, trained[name]).float().mean() > 0.5, name
            elif not scheme.startswith("init") and not name.endswith("A_log"):
                assert same, f"the vector {name} is kept by {scheme}"
            if scheme.startswith("permute") and is_matrix(value) and not name.endswith("A_log"):
                assert torch.equal(value.flatten().sort().values, trained[name].flatten().sort().values)
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in twin.module.named_buffers())
        assert torch.isfinite(twin.module(torch.arange(8)[None]).logits).all()
        seen.append((twin.id, digest(twin.module)))
        if two_fit:
            assert digest(module) == before
            held = {parameter.data_ptr() for parameter in module.parameters()}
            assert not held & {parameter.data_ptr() for parameter in twin.module.parameters()}
    assert [id for id, _ in seen] == [f"m~{scheme}#0", f"m~{scheme}#1"]
    assert seen[0][1] != seen[1][1]
    assert digest(model.module) == before
    model.verify_unchanged()


def test_resample_keeps_each_matrix_at_its_scale() -> None:
    model = wrap(llama(hidden_size=64, intermediate_size=96))
    trained = weights(model)
    twin = next(twins(model, n=1))
    for name, value in weights(twin).items():
        if is_matrix(value):
            error = trained[name].std() / value.numel() ** 0.5
            assert abs(value.mean() - trained[name].mean()) < 5 * error
            assert abs(value.std() - trained[name].std()) < 5 * error


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tied_embeddings_are_randomised_once_and_stay_tied(scheme: str) -> None:
    model = wrap(gpt2(tie_word_embeddings=True))
    for twin in twins(model, scheme=scheme, n=2):
        assert twin.module.lm_head.weight is twin.module.transformer.wte.weight


def test_twin_k_does_not_depend_on_n_on_the_place_or_on_global_state(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("resample", "permute", "init"):
        digests = []
        for n, fit, noise in ((3, True, 1), (4, False, 2)):
            monkeypatch.setattr(lending, "two_fit", lambda model, fit=fit: fit)
            model = wrap(llama())
            torch.manual_seed(noise)
            state = torch.get_rng_state()
            digests.append([digest(twin.module) for twin in twins(model, scheme=scheme, n=n)][:3])
            assert torch.equal(torch.get_rng_state(), state), "the global random state is left alone"
        assert digests[0] == digests[1]
        other = next(twins(wrap(llama()), scheme=scheme, n=1, seed=1))
        assert digest(other.module) not in digests[0]


def test_init_is_the_architectures_own() -> None:
    model = wrap(llama(hidden_size=64, initializer_range=0.1))
    twin = next(twins(model, scheme="init", n=1))
    values = weights(twin)
    assert torch.equal(values["model.norm.weight"], torch.ones(64))
    assert abs(values["model.layers.0.self_attn.q_proj.weight"].std() - 0.1) < 0.01


def test_a_twin_is_valid_until_the_next(two_fit: bool) -> None:
    model = wrap(llama(), id="m")
    iterator = twins(model, n=2)
    first = next(iterator)
    second = next(iterator)
    with pytest.raises(InterpError, match="m~resample#0"):
        _ = first.module
    assert second.module is not None
    iterator.close()
    with pytest.raises(InterpError, match="m~resample#1"):
        _ = second.module


def test_a_single_twin_keeps_its_iterator_alive(two_fit: bool) -> None:
    module = llama()
    before = digest(module)
    twin = next(twins(wrap(module)))
    assert digest(twin.module) != before
    del twin
    assert digest(module) == before


def test_a_borrowed_module_comes_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "two_fit", lambda model: False)
    module = llama()
    model = wrap(module)
    before = digest(module)
    iterator = twins(model, n=3)
    twin = next(iterator)
    assert digest(module) != before, "borrowed: the user's module holds random weights for now"
    assert model.device.type == "cpu"
    assert digest(model.module) == before, "asking for the model takes its module back"
    with pytest.raises(InterpError):
        _ = twin.module
    assert digest(next(iterator).module) != before

    with pytest.raises(ZeroDivisionError):
        fail_within_the_loop(iterator)
    assert digest(model.module) == before
    del iterator
    assert digest(module) == before


def test_a_twin_shares_what_is_not_weights() -> None:
    model = wrap(llama(), tokenizer := object())
    model.batch_tokens = 99
    twin = next(twins(model, n=1))
    assert (twin.tokenizer, twin.batch_tokens, twin.meter, twin.trained) == (tokenizer, 99, model.meter, model)
    assert twin.identity.kind == "twin"
    assert twin.identity.sha256 != model.identity.sha256


def test_bad_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wrap(llama())
    with pytest.raises(UsageProblem, match="resample_keepemb"):
        twins(model, scheme="shuffle")
    with pytest.raises(UsageProblem, match="at least 1"):
        twins(model, n=0)
    assert default_twins(model) == 5
    monkeypatch.setattr(Model, "n_parameters", 2_000_000_000)
    assert default_twins(model) == 1


def test_an_initialisation_that_leaves_weights_as_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = llama()
    monkeypatch.setattr(type(module), "_init_weights", lambda self, part: None)
    with pytest.raises(ModelRefused, match="as trained"):
        next(twins(wrap(module), scheme="init", n=1))


def test_twins_whose_logits_are_not_finite_are_an_error(two_fit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    randomise = importlib.import_module("interp_assert.models.randomise")
    monkeypatch.setattr(randomise, "_resample", lambda parameter, generator: parameter.fill_(float("inf")))
    module = llama()
    before = digest(module)
    with pytest.raises(ModelBroken, match="not finite"):
        next(twins(wrap(module), n=1))
    assert digest(module) == before


def test_a_twin_takes_over_the_anatomy(two_fit: bool) -> None:
    model = wrap(llama())
    ids = torch.arange(10)[None]
    n_blocks, trained = model.anatomy.n_blocks, model.trace(ids).logits
    for twin in twins(model, n=2):
        assert twin.anatomy.n_blocks == n_blocks
        traced = twin.trace(ids, read=["blocks.1.resid_post"])
        assert torch.equal(traced.logits, twin.module(ids).logits)
        assert not torch.allclose(traced.logits, trained, atol=1e-3)
        torch.testing.assert_close(twin.unembed(traced["blocks.1.resid_post"]), traced.logits)
    assert torch.equal(model.trace(ids).logits, trained)


def test_the_model_is_never_traced_with_borrowed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "two_fit", lambda model: False)
    model = wrap(llama())
    ids = torch.arange(10)[None]
    traced = model.trace(ids, read=["blocks.1.resid_post"])
    for _ in twins(model, n=2):
        assert torch.equal(model.trace(ids).logits, traced.logits)
    for _ in twins(model, n=2):
        torch.testing.assert_close(model.unembed(traced["blocks.1.resid_post"]), traced.logits)


@pytest.mark.parametrize("part", ["", "transformer.h.0.mlp"])
def test_a_forward_on_an_instance_does_not_go_on_running_the_trained_weights(part: str) -> None:
    module = gpt2()
    patched = module.get_submodule(part)
    inner = patched.forward
    patched.forward = lambda *args, **options: inner(*args, **options)
    model = wrap(module, id="m")
    before = digest(module)
    ids = torch.arange(6)[None]
    trained = model.trace(ids, read=["blocks.0.mlp.out"])["blocks.0.mlp.out"]
    for twin in twins(model, n=1):
        mixed = weights(twin)
        assert not torch.equal(twin.trace(ids, read=["blocks.0.mlp.out"])["blocks.0.mlp.out"], trained)
        plain = gpt2()
        plain.load_state_dict(mixed, strict=False)
        assert torch.equal(plain(ids).logits, twin.trace(ids).logits)
    assert digest(module) == before
