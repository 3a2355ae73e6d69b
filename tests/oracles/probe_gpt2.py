"""A GPT-2 in which one block brings to the last position what the first word is worth: the dial of the probe claim.

Every group has two words of its own, one worth N(+delta / 2, 1) and one worth N(-delta / 2, 1). Its two texts hold
both, in either order, and end alike; the label is which comes first. A head of one block attends from the last
position to the first word and copies its worth into a channel of its own. So from that block on the best direction has
AUROC Phi(delta / sqrt 2), below it every probe is at chance, and no bag of words tells anything.

The residual stream is ``[worth | copied | position | constant]``. The constant channels, +10 and -10, hold nearly all
of its norm, so that the layer norms scale by one number.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import torch
from prompts.words import SPECIAL, metaspace_tokenizer
from scipy.stats import norm
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.models import Model, wrap
from interp_assert.prompts import LabelledTexts

WORTH, COPIED, POSITIONS, CONSTANT = 0, 1, slice(2, 10), slice(10, 32)
WIDTH = 32


def theory(delta: float) -> float:
    """The AUROC of the best direction from the copying block on."""
    return float(norm.cdf(delta / sqrt(2)))


def texts(groups: int, ends: tuple[str, str] = (".", "."), name: str = "order") -> LabelledTexts:
    """Two texts per group; ``ends`` (of label 0, of label 1) differ where the label is to sit in the last word."""
    rows = [
        (f"{first}{i} {second}{i} {ends[label]}", label, f"g{i}")
        for i in range(groups)
        for label, (first, second) in enumerate((("b", "a"), ("a", "b")))
    ]
    columns = list(zip(*rows, strict=True))
    return LabelledTexts(name, columns[0], columns[1], columns[2], ("b first", "a first"))


def tokenizer(groups: int) -> Any:
    """Knows the words of all groups, at the start of a text and after a space, and four ends."""
    words = [f"{space}{letter}{i}" for i in range(groups) for letter in "ab" for space in ("", "▁")]
    return metaspace_tokenizer([*words, "▁.", "▁!", "▁up", "▁down"])


def build(delta: float, groups: int = 300, *, n_blocks: int = 3, copies_at: int = 2, seed: int = 0) -> Model:
    """A model of ``n_blocks`` blocks of which block ``copies_at`` (counted from 1; 0: none) copies."""
    rng = np.random.default_rng(seed)
    known = tokenizer(groups)
    config = GPT2Config(
        vocab_size=len(known),
        n_positions=8,
        n_embd=WIDTH,
        n_layer=n_blocks,
        n_head=1,
        n_inner=4,
        activation_function="relu",
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )
    module = GPT2LMHeadModel(config).eval()
    constant = torch.tensor([10.0, -10.0] * (WIDTH // 2))[CONSTANT]
    scale = float(10 * (CONSTANT.stop - CONSTANT.start) ** 0.5 / WIDTH**0.5)  # the deviation over all channels
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        body = module.transformer
        body.wte.weight[:, CONSTANT] = constant
        for i in range(groups):
            for letter, sign in (("a", 1.0), ("b", -1.0)):
                worth = float(sign * delta / 2 + rng.normal())
                for space in ("", "▁"):
                    body.wte.weight[known.convert_tokens_to_ids(f"{space}{letter}{i}"), WORTH] = worth
        for position in range(8):
            body.wpe.weight[position, POSITIONS.start + position] = 1.0
        for number, block in enumerate(body.h, start=1):
            block.ln_1.weight.fill_(scale)
            block.ln_2.weight.fill_(1.0)
            if number == copies_at:
                first_word = POSITIONS.start + 1  # behind BOS
                block.attn.c_attn.bias[0] = 1.0  # the query of every position is the same
                block.attn.c_attn.weight[first_word, WIDTH] = 400.0
                block.attn.c_attn.weight[WORTH, 2 * WIDTH] = 1.0
                block.attn.c_proj.weight[0, COPIED] = 1.0
        body.ln_f.weight.fill_(1.0)
        module.lm_head.weight[:, COPIED] = torch.randn(len(known), generator=torch.Generator().manual_seed(seed))
        module.lm_head.weight[:, WORTH] = torch.randn(len(known), generator=torch.Generator().manual_seed(seed + 1))
    return wrap(module, known, id=f"oracle:probe-{delta:g}")


assert len(SPECIAL) == 3, "BOS is token 1 and EOS token 2"
