"""Tiny untrained models of real architectures, saved as a user would save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedTokenizerFast,
)


def llama(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return _noisy(LlamaForCausalLM(LlamaConfig(**{**settings, **changes})))


def gpt2(seed: int = 0, **changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    settings = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return _noisy(GPT2LMHeadModel(GPT2Config(**{**settings, "bos_token_id": 1, "eos_token_id": 2, **changes})))


def mamba(seed: int = 0) -> MambaForCausalLM:
    torch.manual_seed(seed)
    return _noisy(MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4)))


def mamba2(seed: int = 0) -> Mamba2ForCausalLM:
    torch.manual_seed(seed)
    config = Mamba2Config(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        num_heads=4,
        head_dim=16,
        n_groups=1,
        chunk_size=8,
    )
    return _noisy(Mamba2ForCausalLM(config))


def save(module: Any, directory: Path, *, tokenizer: bool = True, **options: Any) -> Path:
    module.save_pretrained(directory, **options)
    if tokenizer:
        word_tokenizer().save_pretrained(directory)
    return directory


def word_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, 64)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _noisy(module: Any) -> Any:
    # As if trained: no tensor may equal what the architecture's initialisation would give.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return module.eval()
