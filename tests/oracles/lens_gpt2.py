"""O5: a GPT-2 in which a known block decides, for testing the logit lens.

Attention is zero and each MLP is a bias only, so the residual stream is known in closed form at each block. The
embedding puts 1 on the channel of a rival token; each block adds 0.1 to the channel of the target, and block
``decides`` adds 3.0 instead. The head reads one channel per token. So the target stands second (rank 1) until that
block and first (rank 0) from there on.

The final norm weighs the target's channel by 1/2: applied once the target still wins after the deciding block,
applied twice it does not, so a lens that normalises the last block's already normalised output is caught.
"""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

VOCAB = 12
N_BLOCKS = 5
DECIDES = 3
"""Blocks are counted from 1; entry 0 of a lens is the embedding."""
RANKS = (1, 1, 1, 0, 0, 0)
TARGET, RIVAL = 5, 7
D_MODEL = 16
SMALL, LARGE = 0.1, 3.0
TARGET_GAIN = 0.5


def build(decides: int = DECIDES, *, dtype: torch.dtype = torch.float64) -> GPT2LMHeadModel:
    """The model whose block number ``decides`` (1 .. N_BLOCKS) writes the answer; 0 for one that never answers."""
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=32,
        n_embd=D_MODEL,
        n_layer=N_BLOCKS,
        n_head=2,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        body.wte.weight[:, RIVAL] = 1.0
        for number, block in enumerate(body.h, start=1):
            block.ln_1.weight.fill_(1.0)
            block.ln_2.weight.fill_(1.0)
            block.mlp.c_proj.bias[TARGET] = LARGE if number == decides else SMALL
        body.ln_f.weight.fill_(1.0)
        body.ln_f.weight[TARGET] = TARGET_GAIN
        model.lm_head.weight[:, :VOCAB] = torch.eye(VOCAB)
    return model


def residual(entry: int, decides: int = DECIDES) -> torch.Tensor:
    """(d_model,): the stream at lens entry 0 .. N_BLOCKS, the same at every position."""
    stream = torch.zeros(D_MODEL, dtype=torch.float64)
    stream[RIVAL] = 1.0
    stream[TARGET] = sum(LARGE if number == decides else SMALL for number in range(1, entry + 1))
    return stream


def log_probabilities(entry: int, decides: int = DECIDES, eps: float = 1e-5) -> torch.Tensor:
    """(vocab,): what the lens must read at an entry, from the definition of layer norm alone."""
    stream = residual(entry, decides)
    centred = stream - stream.mean()
    normed = centred / torch.sqrt(centred.square().mean() + eps)
    normed[TARGET] *= TARGET_GAIN
    return torch.log_softmax(normed[:VOCAB], dim=0)
