"""A GPT-2 whose stream holds, at every position, one of a few atoms: what the right sparse coder explains is known.

Attention and MLPs are zero, so the stream is the token's embedding: an atom, the same for several tokens, times a
length of the token's own, plus noise of which the share of the variance is chosen. With one active latent and as many
latents as atoms, a coder explains at most 1 - ``noise``; principal components of rank 1 explain little more than one
atom's share, and a twin, in which every token has a random direction of its own, has too many of them.
"""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.models import Model, wrap

ATOMS, WIDTH, VOCAB = 24, 32, 240


def build(noise: float = 0.0, seed: int = 0) -> Model:
    """Two blocks that add nothing; ``noise`` is the share of the variance that no atom explains."""
    generator = torch.Generator().manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=32,
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        n_inner=4,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    module = GPT2LMHeadModel(config).eval()
    atoms = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q[:ATOMS]
    lengths = 0.5 + torch.rand(VOCAB, 1, generator=generator)
    tokens = lengths * atoms[torch.arange(VOCAB) % ATOMS]
    # isotropic noise as large, against what is left, as its share of the whole asks
    spread = tokens.square().sum(-1).mean().sqrt() / WIDTH**0.5
    other = torch.randn(VOCAB, WIDTH, generator=generator) * spread
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        body = module.transformer
        body.wte.weight.copy_((1 - noise) ** 0.5 * tokens + noise**0.5 * other)
        for block in body.h:
            block.ln_1.weight.fill_(1.0)
            block.ln_2.weight.fill_(1.0)
        body.ln_f.weight.fill_(1.0)
        module.lm_head.weight.copy_(torch.randn(VOCAB, WIDTH, generator=generator))
    return wrap(module, id=f"oracle:planted-{noise:g}")
