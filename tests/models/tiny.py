"""Tiny seeded models of real architectures, made from their configs: every block does something that shows."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCAB, D, LAYERS, HEADS = 120, 32, 3, 4

_COMMON: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_MODERN: dict[str, Any] = {
    **_COMMON,
    "hidden_size": D,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {**_COMMON, "n_embd": D, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64},
    "gpt_neox": _MODERN,
    "llama": {**_MODERN, "num_key_value_heads": 2},
    "qwen3": {**_MODERN, "num_key_value_heads": 2, "head_dim": 16},
    "gemma2": {
        **_MODERN,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "sliding_window": 6,
        "final_logit_softcapping": 2.0,
        "attn_logit_softcapping": 3.0,
        "attn_implementation": "eager",  # some releases default to a fused attention that drops the soft-cap
    },
    "opt": {
        **_COMMON,
        "hidden_size": D,
        "ffn_dim": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 64,
        "word_embed_proj_dim": D,
    },
    "falcon": {
        **_COMMON,
        "hidden_size": D,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 64,
    },
    "mpt": {**_COMMON, "d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": 64, "expansion_ratio": 2},
    "phi": _MODERN,
    "bloom": {**_COMMON, "hidden_size": D, "n_layer": LAYERS, "n_head": HEADS},
    "mamba": {**_COMMON, "hidden_size": D, "num_hidden_layers": LAYERS, "state_size": 8},
    "mamba2": {
        **_COMMON,
        "hidden_size": D,
        "num_hidden_layers": LAYERS,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 2,
        "chunk_size": 8,
    },
}
ARCHITECTURES = tuple(CONFIGS)
MORE: dict[str, dict[str, Any]] = {
    "mixtral": {**_MODERN, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    "diffllama": {**_MODERN, "num_key_value_heads": 2},
}
"""Beyond what every test of the anatomy runs on: experts have no neurons of their own, and differential attention is
two calls.
"""
WITH_ATTENTION = tuple(name for name in CONFIGS if not name.startswith("mamba"))
PARALLEL = ("gpt_neox", "falcon", "phi")


def build(architecture: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A tiny float32 model in eval mode. Matrices are widened and vectors roughened, so that a forgotten norm weight,
    bias or scale changes the numbers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(architecture, **{**(CONFIGS | MORE)[architecture], **changes})
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2 and float(parameter.std()) < 0.06:
                parameter.mul_(0.12 / max(float(parameter.std()), 1e-3))
            elif parameter.ndim < 2:
                parameter.add_(noise, alpha=0.1)
    return model.eval()


def token_ids(batch: int = 2, length: int = 12, seed: int = 0) -> torch.Tensor:
    """Ids (batch, length) without special tokens."""
    return torch.randint(8, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))
