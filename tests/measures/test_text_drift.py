"""Nats per character: the same text in other tokens, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prompts.words import metaspace_tokenizer

from interp_assert.errors import NonFiniteMeasurement
from interp_assert.measures import measure_text_drift
from interp_assert.models import Model

from .small import gpt2

WORDS = ["the", "▁cat", "▁sat", "▁on", "▁mat"]
TEXTS = ["the cat sat", "the cat sat on the mat", "the mat"]


def model(words: list[str], seed: int = 0, *, bos: bool = True, **config: object) -> Model:
    return gpt2(seed, tokenizer=metaspace_tokenizer([*words, "▁the"], bos=bos), **config)


def by_hand(of: Model, text: str) -> float:
    ids = of.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[misc]
    row = torch.tensor([[1, *ids]])
    with torch.no_grad():
        log_p = of.module(row).logits[0, :-1].log_softmax(-1)
    return float(-log_p.gather(-1, row[0, 1:, None]).sum()) / len(text)


def test_is_the_likelihood_by_character_whatever_the_ids() -> None:
    base, other = model(WORDS), model(WORDS[::-1], seed=1)
    found = measure_text_drift(other, base, TEXTS)
    assert found is not None
    assert found.base == pytest.approx([by_hand(base, text) for text in TEXTS], rel=1e-5)
    assert found.model == pytest.approx([by_hand(other, text) for text in TEXTS], rel=1e-5)
    assert found.difference == pytest.approx(np.mean(found.model - found.base))
    assert found.left_out == 0


def test_without_bos_the_first_token_is_not_scored() -> None:
    found = measure_text_drift(model(WORDS, bos=False), model(WORDS), ["the cat"])
    assert found is not None
    with torch.no_grad():
        log_p = model(WORDS).module(torch.tensor([[3]])).logits[0, -1].log_softmax(-1)
    assert found.model[0] == pytest.approx(-float(log_p[4]) / len(" cat"), rel=1e-5)


def test_what_one_of_them_cannot_read_is_left_out_and_counted() -> None:
    base, fewer = model(WORDS), model(WORDS[:-1])
    found = measure_text_drift(fewer, base, TEXTS)
    assert found is not None
    assert (len(found.base), found.left_out) == (1, 2)
    short = measure_text_drift(model(WORDS, n_positions=5), base, TEXTS)
    assert short is not None
    assert short.left_out == 1
    assert measure_text_drift(fewer, base, ["the mat"]) is None
    assert measure_text_drift(gpt2(), base, TEXTS) is None


def test_not_finite_names_the_model() -> None:
    broken = model(WORDS)
    _ = broken.anatomy
    with torch.no_grad():
        broken.module.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteMeasurement, match="random-gpt2-0: text 0 has a likelihood that is not finite"):
        measure_text_drift(broken, model(WORDS, seed=1), TEXTS)
