"""What reading every recurrent state costs over the plain forward pass, as ratios within one run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

from interp_assert.models import Model, wrap

from .ratios import ratio_in_turns


def mamba() -> MambaForCausalLM:
    """The width of the published 130-million model, three of its blocks."""
    return MambaForCausalLM(MambaConfig(vocab_size=5000, hidden_size=768, num_hidden_layers=3))


def mamba2() -> Mamba2ForCausalLM:
    """The same of its successor: 24 heads of 64, 128 states each."""
    config = Mamba2Config(
        vocab_size=5000, hidden_size=768, num_hidden_layers=2, num_heads=24, head_dim=64, n_groups=1, state_size=128
    )
    return Mamba2ForCausalLM(config)


@pytest.mark.parametrize(("build", "limit"), [(mamba, 2.0), (mamba2, 3.0)])
@pytest.mark.parametrize(("batch", "length"), [(4, 64), (1, 256)])
def test_reading_all_states(benchmark: Any, build: Any, limit: float, batch: int, length: int) -> None:
    """At most 2 times the plain pass for Mamba, which is sequential itself; 3 times for Mamba-2, which is not."""
    torch.manual_seed(0)
    model: Model = wrap(build().eval(), id=build.__name__)
    if not model.has("blocks.*.state"):
        pytest.skip(model.anatomy.missing["blocks.*.state"])
    ids = torch.randint(1000, 5000, (batch, length), generator=torch.Generator().manual_seed(0))
    module = model.module

    def plain() -> Any:
        with torch.no_grad():
            return module(input_ids=ids, use_cache=False).logits

    def traced() -> Any:
        return model.trace(ids, read=["blocks.*.state"])

    ratio, facts = ratio_in_turns(traced, plain, rounds=5)
    benchmark.extra_info.update(facts, threads=1, device="cpu", dtype="float32", batch=batch, length=length)
    benchmark.pedantic(traced, rounds=1, warmup_rounds=0)
    assert ratio <= limit, facts
