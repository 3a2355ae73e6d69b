"""O9: two GPT-2s that differ by a known vector in one block's bias, so that all drift is known in closed form.

Attention is zero and each MLP is a bias only, so the residual stream passes through: at entry k it is the token's
embedding plus the biases of blocks 1 .. k. The tuned model adds ``DELTA`` to the bias of block ``MOVED``: below it
nothing moves; from there on x' - x = DELTA at every position, so rel = ||DELTA|| / E||x||, the cosine is that of x and
x + DELTA, and CKA, which is blind to translations, stays 1.

Embeddings have norms between 1 and 8, so that a mean of ratios is far from the ratio of means, and BOS one of 400.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

VOCAB, D_MODEL, N_BLOCKS = 40, 16, 4
MOVED = 3
"""blocks are counted from 1; entry 0 is the embedding"""
BOS = 0
DELTA = np.zeros(D_MODEL)
DELTA[2], DELTA[7] = 0.6, -0.8
EPS = 1e-5


def build(scale: float = 0.0, *, moved: int = MOVED) -> GPT2LMHeadModel:
    """The base model, or with ``scale`` the one whose block ``moved`` (from 1) adds ``scale * DELTA``."""
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=32,
        n_embd=D_MODEL,
        n_layer=N_BLOCKS,
        n_head=2,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=BOS,
        layer_norm_epsilon=EPS,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        body.wte.weight.copy_(torch.from_numpy(embeddings()))
        for number, block in enumerate(body.h, start=1):
            block.ln_1.weight.fill_(1.0)
            block.ln_2.weight.fill_(1.0)
            block.mlp.c_proj.bias.copy_(torch.from_numpy(bias(number, scale, moved)))
        body.ln_f.weight.fill_(1.0)
        model.lm_head.weight.copy_(torch.from_numpy(head()))
    return model


def embeddings() -> NDArray[np.float64]:
    """(vocab, d_model)."""
    rng = np.random.default_rng(9)
    directions = rng.standard_normal((VOCAB, D_MODEL))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.exp(rng.uniform(0.0, np.log(8.0), VOCAB))
    lengths[BOS] = 400.0
    return np.asarray(directions * lengths[:, None])


def head() -> NDArray[np.float64]:
    """(vocab, d_model) of the unembedding."""
    return np.asarray(np.random.default_rng(11).standard_normal((VOCAB, D_MODEL)))


def bias(number: int, scale: float = 0.0, moved: int = MOVED) -> NDArray[np.float64]:
    """What block ``number`` adds."""
    own = 0.1 * np.random.default_rng([13, number]).standard_normal(D_MODEL)
    return np.asarray(own + (scale * DELTA if number == moved else 0.0))


@dataclass(frozen=True)
class Expected:
    """Per document: means over the positions that count; ``relative`` over all documents."""

    moved: NDArray[np.float64]
    size: NDArray[np.float64]
    cosine: NDArray[np.float64]
    relative: NDArray[np.float64]
    total_variation: NDArray[np.float64]
    kl: NDArray[np.float64]
    agreement: NDArray[np.float64]


def expected(rows: list[tuple[int, ...]], scale: float, *, moved: int = MOVED) -> Expected:
    """All drift of ``build(scale)`` against ``build()`` on rows that start with BOS and have it nowhere else."""
    found: dict[str, list[object]] = {name: [] for name in ("moved", "size", "cosine", "output")}
    for row in rows:
        x = np.stack([stream(row[1:], entry, 0.0, moved) for entry in range(N_BLOCKS + 1)])
        new = np.stack([stream(row[1:], entry, scale, moved) for entry in range(N_BLOCKS + 1)])
        norm, norm_new = np.linalg.norm(x, axis=-1), np.linalg.norm(new, axis=-1)
        found["moved"].append([abs(scale) * np.linalg.norm(DELTA) * (entry >= moved) for entry in range(N_BLOCKS + 1)])
        found["size"].append(norm.mean(-1))
        found["cosine"].append(((x * new).sum(-1) / (norm * norm_new)).mean(-1))
        log_p, log_q = log_probabilities(x[-1]), log_probabilities(new[-1])
        apart = np.abs(np.exp(log_p) - np.exp(log_q)).sum(-1).mean() / 2
        kl = (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()
        found["output"].append([apart, kl, (log_p.argmax(-1) == log_q.argmax(-1)).mean()])
    arrays = {name: np.array(values, dtype=np.float64) for name, values in found.items()}
    relative = arrays["moved"].mean(0) / arrays["size"].mean(0)
    return Expected(arrays["moved"], arrays["size"], arrays["cosine"], relative, *arrays["output"].T)


def stream(tokens: tuple[int, ...], entry: int, scale: float, moved: int) -> NDArray[np.float64]:
    """(pos, d_model) the residual stream at an entry."""
    added = sum((bias(number, scale, moved) for number in range(1, entry + 1)), np.zeros(D_MODEL))
    return np.asarray(embeddings()[list(tokens)] + added)


def log_probabilities(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(pos, vocab) from the definition of layer norm alone."""
    centred = x - x.mean(-1, keepdims=True)
    logits = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) @ head().T
    top = logits.max(-1, keepdims=True)
    return np.asarray(logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True)))


def rows(count: int = 12, seed: int = 0) -> list[tuple[int, ...]]:
    """Rows of 6 to 20 ids, BOS first."""
    rng = np.random.default_rng([17, seed])
    return [(BOS, *(int(i) for i in rng.integers(1, VOCAB, int(rng.integers(5, 20))))) for _ in range(count)]
