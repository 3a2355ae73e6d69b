"""A GPT-2 that knows which tokens it has seen, and how often, but not in which order.

One head attends uniformly and sums up one-hot tokens, so a token seen c times so far has c / (p + 1) on its channel
at position p. An MLP unit per token takes away from those seen twice: it reads that channel minus 1.5 / (p + 1),
which the one-hot position supplies. What is left on top are the tokens seen exactly once; among them a fixed
preference of the model decides.

On a repeated random sequence of n tokens it is right with probability 1 / k when k tokens are left: H_{n-1} / (n-1)
on average, 0.187 at n = 20, four times the in-context chance, without any induction.
"""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

BOS = 0
VOCAB = 64
POSITIONS = 64
TOK, POS, OUT = 0, VOCAB, VOCAB + POSITIONS
NOTHING = 2 * VOCAB + POSITIONS  # a channel that is always 0: differences to it survive the norm's mean
D_MODEL = 2 * VOCAB + POSITIONS + 2


def expected_accuracy(n: int = 20) -> float:
    """Mean over the n - 1 scored predictions of 1 / (number of tokens not yet repeated)."""
    return sum(1.0 / left for left in range(1, n)) / (n - 1)


def build(seed: int = 0) -> GPT2LMHeadModel:
    """The model; ``seed`` chooses its preference among tokens seen once."""
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=D_MODEL,
        n_layer=1,
        n_head=2,
        n_inner=VOCAB,
        activation_function="relu",
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=BOS,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).double().eval()
    tokens = torch.arange(VOCAB)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        body.wte.weight[tokens, TOK + tokens] = 1.0
        body.wpe.weight[:, POS : POS + POSITIONS] = torch.eye(POSITIONS)
        (block,) = body.h
        mean = 2 / D_MODEL
        block.ln_1.weight.fill_((mean - mean**2 + config.layer_norm_epsilon) ** 0.5)
        block.ln_1.bias.fill_(mean)
        block.attn.c_attn.weight[TOK + tokens, 2 * D_MODEL + tokens] = 1.0
        block.attn.c_proj.weight[tokens, OUT + tokens] = 1.0
        block.ln_2.weight.fill_(1.0)
        share = 1.5 / torch.arange(1, POSITIONS + 1, dtype=torch.float64)
        block.mlp.c_fc.weight[OUT + tokens, tokens] = 1.0
        block.mlp.c_fc.weight[POS : POS + POSITIONS] = -share[:, None].expand(POSITIONS, VOCAB)
        block.mlp.c_fc.weight[NOTHING] = share.sum() - 1.0
        block.mlp.c_proj.weight[tokens, OUT + tokens] = -4.0
        body.ln_f.weight.fill_(1e4)
        preference = torch.rand(VOCAB, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        body.ln_f.bias[OUT + tokens] = preference
        body.ln_f.bias[OUT + BOS] = -1e9
        model.lm_head.weight[:, OUT : OUT + VOCAB] = torch.eye(VOCAB)
    return model
