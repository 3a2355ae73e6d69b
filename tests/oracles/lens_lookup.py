"""A GPT-2 that looks answers up, each at a block of our choice: the dial of the lens assertion.

The residual stream starts as ``[token | rival | answers]``: the one-hot of the last token (an entity), 1 on a rival's
channel, zeros. Attention is zero. The MLP of each block has one unit per entity, which fires on that entity alone and
adds to the channel of its
answer: little in every block, much in the block that decides this entity. So an entity's answer has rank 1 below its
block and 0 from there on, and an entity that is decided nowhere is not answered at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.prompts import Fact

BOS = 0


def build(decides: Sequence[int], *, n_blocks: int = 4, dtype: torch.dtype = torch.float32) -> GPT2LMHeadModel:
    """Entity i is token 1 + i, its answer token 1 + n + i, decided at block ``decides[i]`` (1 .. n_blocks; 0 =
    never).
    """
    n = len(decides)
    vocab, rival, d_model = 2 * n + 2, 2 * n + 1, 4 * n + 4
    config = GPT2Config(
        vocab_size=vocab,
        n_positions=16,
        n_embd=d_model,
        n_layer=n_blocks,
        n_head=2,
        n_inner=n,
        activation_function="relu",
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=BOS,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).to(dtype).eval()
    # channels: tokens at 0 .. vocab - 1, what is read out at vocab .. 2 vocab - 1
    entity, answer = torch.arange(1, n + 1), vocab + torch.arange(n + 1, 2 * n + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        body.wte.weight[:, :vocab] = torch.eye(vocab)
        body.wte.weight[:, vocab + rival] = 1.0
        for number, block in enumerate(body.h, start=1):
            block.ln_1.weight.fill_(1.0)
            block.ln_2.weight.fill_(1.0)
            # after the norm the hot channel stands far above all others: a threshold at 1 lets only it through
            block.mlp.c_fc.weight[entity, torch.arange(n)] = 1.0
            block.mlp.c_fc.bias.fill_(-1.0)
            amount = torch.tensor([2.0 if number == d else 0.01 for d in decides], dtype=dtype)
            block.mlp.c_proj.weight[torch.arange(n), answer] = amount
        body.ln_f.weight.fill_(1.0)
        model.lm_head.weight[:, vocab : 2 * vocab] = torch.eye(vocab)
    return model


def facts(n: int, templates: int = 1) -> list[Fact]:
    """The prompts of all entities; a longer template repeats BOS, which changes nothing here."""
    return [
        Fact(f"entity {i}", "answer", f"t{t}", f"{i}", f"{i}", (*[BOS] * (t + 1), 1 + i), 1 + n + i)
        for i in range(n)
        for t in range(templates)
    ]
