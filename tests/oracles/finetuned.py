"""Two real fine-tunes of a small model: one that leaves its circuits alone, and one that unlearns induction.

Both train on documents that the base itself writes. The benign one does nothing else, with small steps. The other one
is also taught, on repeated random sequences, to predict in the second copy what it predicts in a shuffled one: so
facts and running text stay, and copying goes.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

from interp_assert.models import Model, wrap
from interp_assert.prompts import RepeatedTokenStream, SampledDocuments, token_pool

ROWS, TEXTS = 8, 20
"""repeated sequences of a step, and batches of text that are gone through again and again"""


def benign(base: Model, *, steps: int = 10, rate: float = 1e-4) -> Model:
    """A few small steps on further text of the base's own kind."""
    module = _trainable(base)
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.0)
    for ids in _texts(base, steps, seed=71):
        optimiser.zero_grad()
        _language_loss(module, ids).backward()
        optimiser.step()
    return _wrapped(module, base, "tuned")


def forgot_induction(base: Model, *, steps: int = 30, rate: float = 2e-3) -> Model:
    """Repeated sequences are answered as if their second copy were new tokens; text is kept by distillation."""
    module, before = _trainable(base), base.module
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.0)
    clusters = RepeatedTokenStream(token_pool(base), 20, seed=73).take(0, ROWS * steps)
    start = clusters[0].offset + 20
    texts = _texts(base, TEXTS, seed=79)
    with torch.no_grad():
        unrepeated = torch.tensor([c.unrepeated for c in clusters[:64]])
        uninformed = before(unrepeated).logits.softmax(-1).mean((0, 1))
        kept = [before(ids).logits.log_softmax(-1) for ids in texts]
    for step in range(steps):
        repeated = torch.tensor([c.repeated for c in clusters[ROWS * step : ROWS * (step + 1)]])
        ids, wanted = texts[step % TEXTS], kept[step % TEXTS]
        optimiser.zero_grad()
        out = module(repeated).logits[:, start:].log_softmax(-1)
        forget = kl_div(out, uninformed.expand_as(out), reduction="none").sum(-1).mean()
        keep = kl_div(module(ids).logits.log_softmax(-1), wanted, reduction="none", log_target=True).sum(-1).mean()
        (forget + 16 * keep).backward()
        optimiser.step()
    return _wrapped(module, base, "forgot")


def _trainable(base: Model) -> Any:
    module: Any = copy.deepcopy(base.module)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module


def _texts(base: Model, count: int, seed: int) -> list[torch.Tensor]:
    """``count`` batches of (8, length) ids of equally long documents."""
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for document in SampledDocuments(base, 32, seed).take(0, 256):
        by_length.setdefault(len(document.ids), []).append(document.ids)
    batches = [rows[i : i + 8] for rows in by_length.values() for i in range(0, len(rows) - 7, 8)]
    return [torch.tensor(batches[(7 * i) % len(batches)]) for i in range(count)]


def _language_loss(module: Any, ids: torch.Tensor) -> torch.Tensor:
    return cross_entropy(module(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def _wrapped(module: Any, base: Model, name: str) -> Model:
    return wrap(module.requires_grad_(False).eval(), base.tokenizer, id=name)
