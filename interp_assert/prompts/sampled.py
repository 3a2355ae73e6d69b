"""Documents sampled from the model itself: text of its own kind when no corpus is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NonFiniteMeasurement, UsageProblem
from .pool import as_ids, token_pool

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["CannotSample", "sample_documents"]

_CACHED = 4
"""times as many rows as may go through the model whole: with a cache each step is of one token a row"""
_NOT_FINITE = "{}: no text can be sampled, its probabilities are not finite; try --interp-dtype float32"


class CannotSample(UsageProblem):
    """The model has nothing to start a document with, or ends everything that it begins."""


def sample_documents(model: Model, count: int, length: int, *, seed: int = 0) -> list[tuple[int, ...]]:
    """``count`` documents of at most ``length`` ids, BOS first, drawn at temperature 1 without any truncation of the
    distribution.

    A document ends before a second BOS or an EOS. Without BOS each starts with a random ordinary id. The same seed
    gives the same documents on the same machine; torch's global random state is left as it was. Models with recurrent
    state are run without a cache, since several of them step differently from how they read, and so are modules
    without transformers' ``generate``.

    Raises CannotSample if the model has no BOS and no ordinary ids, UsageProblem for count < 1 or length < 2,
    NonFiniteMeasurement if the model's probabilities are not finite.
    """
    import torch
    from transformers import GenerationConfig

    if count < 1 or length < 2:
        raise UsageProblem(f"{count} documents of {length} ids: at least 1 document of at least 2 ids can be sampled")
    if model.max_positions is not None:
        length = min(length, model.max_positions)
    starts = _starts(model, count, seed)
    ends = sorted(_end_ids(model))
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        num_beams=1,
        max_new_tokens=length - 1,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
        use_cache=_attention_only(model),
    )
    documents: list[tuple[int, ...]] = []
    generates = hasattr(model.module, "generate") and bool(model.module.can_generate())  # type: ignore[operator]
    devices = [] if model.device.type == "cpu" else [model.device]
    with torch.random.fork_rng(devices, device_type=model.device.type if devices else "cuda"):
        torch.manual_seed(seed)
        steps = generates and config.use_cache
        rows = max(1, (_CACHED if steps else 1) * model.batch_tokens // length)
        for first in range(0, count, rows):
            prompt = torch.tensor(starts[first : first + rows], device=model.device)[:, None]
            out = _generate(model, prompt, config) if steps else _step_by_step(model, prompt, length, ends)
            documents += [_cut(row, set(ends)) for row in out.tolist()]
    return documents


def _generate(model: Model, prompt: torch.Tensor, config: Any) -> torch.Tensor:
    """(batch, length) ids, prompt included."""
    import torch

    try:
        out: torch.Tensor = model.module.generate(  # type: ignore[operator]
            prompt, attention_mask=torch.ones_like(prompt), generation_config=config
        )
    except RuntimeError as error:
        if "probability tensor" not in str(error):
            raise
        raise NonFiniteMeasurement(_NOT_FINITE.format(model.id)) from error
    model.meter.forward_passes += out.shape[1] - 1
    model.meter.tokens += out.numel()
    return out


def _step_by_step(model: Model, ids: torch.Tensor, length: int, ends: list[int]) -> torch.Tensor:
    """The same without a cache: every step reads the text so far again, of the rows that go on."""
    import torch

    stop = torch.tensor(ends, dtype=ids.dtype, device=ids.device)
    written = ids.new_full((len(ids), length), ends[0] if ends else 0)
    written[:, :1] = ids
    going = torch.arange(len(ids), device=ids.device)
    for step in range(1, length):
        probabilities = model.trace(written[going, :step], positions=[-1]).logits[:, -1].float().softmax(-1)
        if not probabilities.isfinite().all():
            raise NonFiniteMeasurement(_NOT_FINITE.format(model.id))
        drawn = torch.multinomial(probabilities, 1)[:, 0]
        written[going, step] = drawn
        going = going[~torch.isin(drawn, stop)]
        if not len(going):
            break
    return written


def _starts(model: Model, count: int, seed: int) -> list[int]:
    pool = token_pool(model)
    if pool.bos is not None:
        return [pool.bos] * count
    if not len(pool):
        raise CannotSample(f"{model.id}: no BOS and no ordinary ids to start a document with ({pool.note})")
    picks = np.random.default_rng([seed, 0x5A3F]).random(count)
    return [int(pool.ids[int(u * len(pool))]) for u in picks]


def _end_ids(model: Model) -> set[int]:
    source = model.config if model.tokenizer is None else model.tokenizer
    values = (getattr(source, name, None) for name in ("bos_token_id", "eos_token_id"))
    return {int(i) for value in values for i in as_ids(value) if 0 <= i < int(model.vocab_size)}


def _attention_only(model: Model) -> bool:
    return all("attn" in block.kinds and "ssm" not in block.kinds for block in model.anatomy.blocks)


def _cut(row: list[int], ends: set[int]) -> tuple[int, ...]:
    stop = next((i for i, token in enumerate(row) if i > 0 and token in ends), len(row))
    return tuple(row[:stop])
