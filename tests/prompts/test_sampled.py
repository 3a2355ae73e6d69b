"""Documents sampled from the model itself."""

from __future__ import annotations

import pytest
import torch
from measures.small import gpt2, mamba

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.prompts import sample_documents


def test_a_seed_replays_and_leaves_the_global_generator_alone() -> None:
    model = gpt2()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = sample_documents(model, 5, 12, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert sample_documents(model, 5, 12, seed=3) == one
    assert sample_documents(model, 5, 12, seed=4) != one


def test_documents_start_with_bos_and_end_before_the_next() -> None:
    documents = sample_documents(gpt2(initializer_range=0.01), 200, 30)
    assert all(d[0] == 0 and 0 not in d[1:] and 1 <= len(d) <= 30 for d in documents)
    assert min(map(len, documents)) < 30, "some documents end early"
    assert max(map(len, documents)) == 30


def test_the_whole_distribution_is_sampled() -> None:
    """A nearly flat model must use nearly all 80 tokens: default generation settings would keep 50 of them."""
    documents = sample_documents(gpt2(initializer_range=0.001), 64, 30)
    assert len({token for d in documents for token in d}) == 80


def test_frequencies_are_those_of_temperature_one() -> None:
    model = gpt2(initializer_range=0.4)
    with torch.no_grad():
        p = model.module(torch.tensor([[0]])).logits[0, -1].double().softmax(-1)
    top = int(p[1:].argmax()) + 1
    firsts = [d[1] if len(d) > 1 else 0 for d in sample_documents(model, 2000, 2)]
    share, expected = firsts.count(top) / 2000, float(p[top])
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5


def test_without_bos_documents_start_with_random_ordinary_ids() -> None:
    documents = sample_documents(gpt2(bos_token_id=None, eos_token_id=None), 20, 5)
    assert len({d[0] for d in documents}) > 5


def test_recurrent_models_are_sampled_too_and_everything_is_metered() -> None:
    model = mamba()
    with model.metered() as span:
        documents = sample_documents(model, 3, 6)
    assert len(documents) == 3
    assert span.forward_passes > 0


def test_a_module_without_generate_writes_the_same_way() -> None:
    """The frequencies are those of temperature one, documents end before EOS, and a seed replays."""
    model, own = gpt2(initializer_range=0.4), gpt2(initializer_range=0.4)
    own.module.can_generate = lambda: False  # type: ignore[method-assign]
    with torch.no_grad():
        p = model.module(torch.tensor([[0]])).logits[0, -1].double().softmax(-1)
    top = int(p[1:].argmax()) + 1
    documents = sample_documents(own, 1000, 3)
    firsts = [d[1] if len(d) > 1 else 0 for d in documents]
    share, expected = firsts.count(top) / 1000, float(p[top])
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 1000) ** 0.5
    assert all(d[0] == 0 and 0 not in d[1:] for d in documents)
    assert sample_documents(own, 1000, 3) == documents
    with torch.no_grad():
        own.module.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteMeasurement, match="probabilities are not finite"):
        sample_documents(own, 2, 5)


def test_the_context_bounds_the_length() -> None:
    assert max(map(len, sample_documents(gpt2(n_positions=8), 20, 30))) <= 8


def test_probabilities_that_are_not_finite_are_a_clear_error() -> None:
    model = gpt2()
    model.anatomy  # noqa: B018 - proven while the weights are sound
    with torch.no_grad():
        model.module.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteMeasurement, match="probabilities are not finite"):
        sample_documents(model, 2, 5)


@pytest.mark.parametrize(("count", "length"), [(0, 5), (3, 1)])
def test_bad_sizes_are_named(count: int, length: int) -> None:
    with pytest.raises(UsageProblem, match=f"{count} documents of {length} ids"):
        sample_documents(gpt2(), count, length)
