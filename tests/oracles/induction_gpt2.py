"""O1: a GPT-2 whose weights are written by hand so that it does induction exactly, with a dial.

Residual stream ``[tok | pos | prev | out]``: one-hot token, one-hot position, what the previous-token head wrote,
what the induction head wrote. The number s of unit entries is known at every layer norm (2 before block 0, 3 before
block 1), so its mean s/d and variance s/d - (s/d)^2 are constants, and gain sqrt(var + eps) with bias s/d makes each
layer norm the identity.

Block 0, head 0: query = position p - 1, key = position, at inverse temperature 60: each position attends to the one
before it (position 0, which sees only itself, to itself) and copies its token into ``prev``. Block 1, head 1: query =
token, key = prev, at inverse temperature beta; it copies the token of what it attends to into ``out``, which the
untied head reads.

With BOS in front, query t of the second copy (t = 0 .. n-1) sees n + t + 2 keys, of which exactly one matches, so its
weight on the token after the previous occurrence is e^beta / (e^beta + n + t + 1).
"""

from __future__ import annotations

import math

import torch
from transformers import GPT2Config, GPT2LMHeadModel

BOS = 0
VOCAB = 64
POSITIONS = 64
D_MODEL = 3 * VOCAB + POSITIONS
N_HEADS = 2
D_HEAD = D_MODEL // N_HEADS
BETA_PREVIOUS = 60.0
READOUT = 30.0
TOK, POS, PREV, OUT = 0, VOCAB, VOCAB + POSITIONS, 2 * VOCAB + POSITIONS

INDUCTION_HEAD = (1, 1)
DIAL = {0.0: 0.0329, 2.0: 0.1997, 3.5: 0.5249, 6.0: 0.9299, 12.0: 0.9998}
"""Inverse temperature of the induction head -> its prefix-matching score at n = 20 with BOS, to four digits."""


def theory(beta: float, n: int = 20, *, bos: bool = True) -> float:
    """Mean over the second copy of e^beta / (e^beta + number of other visible keys), for a model with BOS."""
    if not bos:
        raise ValueError("the closed form holds with BOS only: without it position 0 matches a second time")
    return sum(1.0 / (1.0 + (n + t + 1) * math.exp(-beta)) for t in range(n)) / n


def build(
    beta: float = 12.0, *, previous_beta: float = BETA_PREVIOUS, copies: bool = True, dtype: torch.dtype = torch.float64
) -> GPT2LMHeadModel:
    """The model at one dial setting. ``copies=False`` zeroes the OV circuit: it attends and says nothing."""
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=D_MODEL,
        n_layer=2,
        n_head=N_HEADS,
        n_inner=4,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=BOS,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        body.wte.weight[:, TOK : TOK + VOCAB] = torch.eye(VOCAB)
        body.wpe.weight[:, POS : POS + POSITIONS] = torch.eye(POSITIONS)
        for block, units in zip(body.h, (2, 3), strict=True):
            make_identity(block.ln_1, units)
            make_identity(block.ln_2, units)
        scale = math.sqrt(D_HEAD)
        write_head(body.h[0].attn, 0, q=previous_positions() * previous_beta * scale, k=POS, v=TOK, out=PREV)
        write_head(body.h[1].attn, 1, q=(TOK, beta * scale), k=PREV, v=TOK, out=OUT if copies else None)
        body.ln_f.weight.fill_(READOUT * math.sqrt(3 / D_MODEL))
        model.lm_head.weight[:, OUT : OUT + VOCAB] = torch.eye(VOCAB)
    return model


def previous_positions() -> torch.Tensor:
    """(d_model, POSITIONS): sends the one-hot of position p to the one-hot of p - 1; position 0 to nothing."""
    shift = torch.zeros(D_MODEL, POSITIONS, dtype=torch.float64)
    for p in range(1, POSITIONS):
        shift[POS + p, p - 1] = 1.0
    return shift


def make_identity(norm: torch.nn.LayerNorm, units: int) -> None:
    """Make a layer norm the identity on vectors with ``units`` entries of 1 and the rest 0."""
    mean = units / D_MODEL
    norm.weight.fill_(math.sqrt(mean - mean**2 + norm.eps))
    norm.bias.fill_(mean)


def write_head(
    attention: torch.nn.Module, head: int, *, q: torch.Tensor | tuple[int, float], k: int, v: int, out: int | None
) -> None:
    """Write one head: keys and values read the one-hot blocks that start at k and v, the output goes to the block at
    ``out``.
    """
    start = head * D_HEAD
    weight = attention.c_attn.weight  # (d_model, 3 d_model): queries, keys, values side by side
    if isinstance(q, tuple):
        block, scale = q
        weight[block : block + VOCAB, start : start + VOCAB] = scale * torch.eye(VOCAB, dtype=weight.dtype)
    else:
        weight[:, start : start + q.shape[1]] = q.to(weight.dtype)
    eye = torch.eye(VOCAB, dtype=weight.dtype)
    weight[k : k + VOCAB, D_MODEL + start : D_MODEL + start + VOCAB] = eye
    weight[v : v + VOCAB, 2 * D_MODEL + start : 2 * D_MODEL + start + VOCAB] = eye
    if out is not None:
        attention.c_proj.weight[start : start + VOCAB, out : out + VOCAB] = eye
