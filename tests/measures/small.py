"""Small random models for the tests of measures."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.models import Model, wrap


def gpt2(seed: int = 0, *, tokenizer: Any = None, **config: Any) -> Model:
    """A random GPT-2 of two blocks; weights large enough that logits differ."""
    torch.manual_seed(seed)
    shape = {"vocab_size": 80, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "attn_implementation": "eager"}
    return wrap(GPT2LMHeadModel(GPT2Config(**(shape | ends | config))), tokenizer, id=f"random-gpt2-{seed}")


def gemma2(cap: float = 3.0) -> Model:
    """A random Gemma-2 whose soft-cap bends its logits visibly."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(1)
    config = Gemma2Config(
        vocab_size=80,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=cap,
        initializer_range=0.5,
        attn_implementation="eager",
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    return wrap(Gemma2ForCausalLM(config), id="random-gemma2")


def mamba() -> Model:
    """A random Mamba: no attention, no positions."""
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(2)
    config = MambaConfig(
        vocab_size=80, hidden_size=32, state_size=4, num_hidden_layers=2, bos_token_id=0, eos_token_id=0
    )
    return wrap(MambaForCausalLM(config), id="random-mamba")
