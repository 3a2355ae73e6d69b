"""Loss recovered: a perfect coder recovers all of it, an ablation nothing; what does not count is left alone."""

from __future__ import annotations

import pytest
import torch
from measures.small import gpt2
from models.tiny import build

from interp_assert.coders import CrossEntropyRecovered, SiteReader, cross_entropy_recovered
from interp_assert.models import Model, wrap

ROWS = [[0, 5, 9, 33, 12, 6, 71], [0, 8, 8, 8, 0, 4, 3], [0, 14, 15, 16, 17, 18, 19]]


def plain_loss(model: Model) -> float:
    """Mean over the predictions of ids that are not BOS, without any edit."""
    ids = torch.tensor(ROWS)
    with torch.no_grad():
        logits = model.module(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return float(loss[ids[:, 1:] != 0].mean())


@pytest.mark.parametrize("site", ["blocks.0.resid_post", "blocks.1.mlp.out", "blocks.0.attn.head_out"])
def test_all_is_recovered_by_a_copy_and_nothing_by_an_ablation(site: str) -> None:
    model = gpt2()
    reader = SiteReader(model, site)
    mean = torch.linspace(-1, 1, reader.d_in)
    copy = cross_entropy_recovered(reader, lambda x: x, ROWS, mean)
    assert copy.clean == pytest.approx(plain_loss(model), abs=1e-5)
    assert copy.coder == copy.clean
    assert copy.tokens == 17
    zero = cross_entropy_recovered(reader, torch.zeros_like, ROWS, mean)
    assert zero.coder == zero.zero != zero.clean
    constant = cross_entropy_recovered(reader, lambda x: mean.expand_as(x), ROWS, mean)
    assert constant.coder == constant.mean != constant.zero


def test_shares_lie_between_the_losses() -> None:
    found = CrossEntropyRecovered(clean=2.0, coder=2.5, zero=10.0, mean=4.0, tokens=7)
    assert found.from_zero == pytest.approx(7.5 / 8)
    assert found.from_mean == pytest.approx(1.5 / 2)
    unhurt = CrossEntropyRecovered(clean=2.0, coder=2.0, zero=1.9, mean=2.0, tokens=7)
    assert unhurt.from_zero is None
    assert unhurt.from_mean is None


def test_bos_is_left_alone() -> None:
    seen = []
    reader = SiteReader(gpt2(), "blocks.0.resid_post")

    def watch(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x

    cross_entropy_recovered(reader, watch, ROWS, torch.zeros(32))
    assert sum(seen) == 17  # of 21 positions, 3 first ones and a later BOS not


def test_a_recurrent_state_is_replaced_step_by_step() -> None:
    model = wrap(build("mamba"))
    reader = SiteReader(model, "blocks.1.state")
    copy = cross_entropy_recovered(reader, lambda x: x, ROWS, torch.zeros(reader.d_in))
    assert copy.coder == pytest.approx(copy.clean, abs=1e-6)
    large = cross_entropy_recovered(reader, lambda x: 100 * x, ROWS, torch.zeros(reader.d_in))
    assert large.coder != pytest.approx(large.clean, abs=1e-3)
    assert large.clean == pytest.approx(copy.clean)


def test_what_is_coded_of_a_recurrent_state_is_what_the_model_has_by_itself() -> None:
    """Not what is left of it after the steps before were replaced: errors would pile up."""
    model = wrap(build("mamba"))
    reader = SiteReader(model, "blocks.1.state")
    seen: list[torch.Tensor] = []

    def far_off(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x + 10.0

    cross_entropy_recovered(reader, far_off, ROWS, torch.zeros(reader.d_in))
    clean = torch.cat([vectors for piece in reader.read(ROWS) for vectors in piece])
    torch.testing.assert_close(torch.cat(seen), clean)
