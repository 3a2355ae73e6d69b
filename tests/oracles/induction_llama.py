"""O2: the same induction written by hand into a Llama: RMSNorm, rotary positions, two query heads on one key/value
head.

Residual stream ``[tok | one | prev | out]`` with a constant channel. s unit entries make the RMS sqrt(s/d), so gain
sqrt(s/d + eps) makes each norm the identity (s = 2 before block 0, 3 before block 1).

Rotary embedding with theta 1e12 over a head of width 512 has 256 planes whose angle per position runs from 1 down to
1e-12. The 24 fastest tell positions apart: keys are the same unit vector everywhere, the query is that vector turned
back by one position, so the score is the mean over planes of cos((i - j - 1) theta_k), 1 at the previous position and
lower elsewhere; times 400 it is one-hot. The slowest planes do not turn within a prompt, and carry the tokens of the
induction head.

Both blocks use a different query head of the pair, on the shared key/value head.
"""

from __future__ import annotations

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

BOS = 0
VOCAB = 48
POSITIONS = 64
D_HEAD = 512
PLANES = D_HEAD // 2
FAST = 24
THETA = 1e12
BETA_PREVIOUS = 400.0
READOUT = 30.0
TOK, ONE, PREV, OUT = 0, VOCAB, VOCAB + 1, 2 * VOCAB + 1
D_MODEL = 3 * VOCAB + 2  # transformers wants a multiple of the number of heads; the last channel stays 0

PREVIOUS_HEAD = (0, 0)
INDUCTION_HEAD = (1, 1)


def build(
    beta: float = 12.0, *, previous_beta: float = BETA_PREVIOUS, copies: bool = True, dtype: torch.dtype = torch.float64
) -> LlamaForCausalLM:
    """The model at one dial setting. ``copies=False`` zeroes the OV circuit; ``previous_beta=0`` flattens the
    previous-token head.
    """
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=D_MODEL,
        intermediate_size=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=D_HEAD,
        max_position_embeddings=POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=BOS,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.model
        eye = torch.eye(VOCAB, dtype=dtype)
        body.embed_tokens.weight[:, TOK : TOK + VOCAB] = eye
        body.embed_tokens.weight[:, ONE] = 1.0
        for layer, units in zip(body.layers, (2, 3), strict=True):
            make_identity(layer.input_layernorm, units)
            layer.post_attention_layernorm.weight.fill_(1.0)
        body.norm.weight.fill_(READOUT * math.sqrt(3 / D_MODEL))
        model.lm_head.weight[:, OUT : OUT + VOCAB] = eye
        write_previous_head(body.layers[0].self_attn, previous_beta)
        write_induction_head(body.layers[1].self_attn, beta, copies)
    return model


def make_identity(norm: torch.nn.Module, units: int) -> None:
    """Make an RMS norm the identity on vectors with ``units`` entries of 1 and the rest 0.

    transformers computes the RMS in float32 whatever the dtype of the model, so the gain is what undoes that float32
    number: sqrt(s/d) itself would leave 6e-8, which beta multiplies.
    """
    example = torch.zeros(D_MODEL, dtype=torch.float32)
    example[:units] = 1.0
    factor = torch.rsqrt(example.square().mean() + norm.variance_epsilon)
    norm.weight.fill_(1.0 / factor.double().item())


def plane_angles() -> torch.Tensor:
    """(planes,): angle per position of each rotary plane; plane k turns dimensions k and k + planes."""
    return THETA ** (-torch.arange(0, D_HEAD, 2, dtype=torch.float64) / D_HEAD)


def write_previous_head(attention: torch.nn.Module, previous_beta: float) -> None:
    """Query head 0: a constant query, turned back by one position on the fast planes, against a constant key."""
    fast = torch.arange(FAST)
    angle = plane_angles()[:FAST]
    scale = previous_beta * math.sqrt(D_HEAD) / FAST
    query, key = attention.q_proj.weight, attention.k_proj.weight  # (heads * d_head, d_model)
    key[fast, ONE] = 1.0
    query[fast, ONE] = (scale * torch.cos(-angle)).to(query.dtype)
    query[fast + PLANES, ONE] = (scale * torch.sin(-angle)).to(query.dtype)
    tokens = torch.arange(VOCAB)
    attention.v_proj.weight[tokens, TOK + tokens] = 1.0
    attention.o_proj.weight[PREV + tokens, tokens] = 1.0


def write_induction_head(attention: torch.nn.Module, beta: float, copies: bool) -> None:
    """Query head 1: the token against what the previous-token head wrote, on the slowest planes."""
    tokens = torch.arange(VOCAB)
    slow = PLANES - VOCAB + tokens
    attention.q_proj.weight[D_HEAD + slow, TOK + tokens] = beta * math.sqrt(D_HEAD)
    attention.k_proj.weight[slow, PREV + tokens] = 1.0
    attention.v_proj.weight[tokens, TOK + tokens] = 1.0
    if copies:
        attention.o_proj.weight[OUT + tokens, D_HEAD + tokens] = 1.0
