"""Tiny recurrent models of every family, opened once, and what is known of each before anything is measured."""

from __future__ import annotations

import functools

import pytest
import torch

from interp_assert.models import Model, wrap
from interp_assert.models.discovery.mixers import NEEDED, release

from ..architectures import builder

MAMBA1 = ("mamba", "falcon_mamba", "jamba", "zamba")
MAMBA2 = ("mamba2", "bamba", "zamba2", "falcon_h1", "granitemoehybrid", "nemotron_h")
DELTA = ("qwen3_next", "olmo_hybrid", "kimi_linear", "qwen3_5_text", "bailing_hybrid", "qwen4_exp_text")
OTHERS = ("rwkv", "recurrent_gemma", "xlstm", "minimax")
FAMILIES = (*MAMBA1, *MAMBA2, *DELTA, *OTHERS)
ENDS_RECURRENT = ("mamba", "falcon_mamba", "mamba2", "jamba", "bamba", "falcon_h1", "xlstm", "recurrent_gemma", "rwkv")
"""Types whose last block is recurrent: an edit of it at a step reaches later positions through its state only."""


@functools.cache
def opened(family: str, **settings: int) -> Model:
    """The tiny model; skips where the installed transformers does not have the type, or writes its recurrence out."""
    if family not in builder.TYPES:
        pytest.skip(f"the installed transformers has no {family}")
    if release() < NEEDED and family not in ("rwkv", "recurrent_gemma", "xlstm", "minimax"):
        pytest.skip(f"before transformers {'.'.join(map(str, NEEDED))} {family} writes its recurrence out in its mixer")
    return wrap(builder.build(family, **settings), id=family)


def states_of(model: Model) -> list[str]:
    return [site for site in model.anatomy.sites if site.endswith(".state")]


def distance(left: torch.Tensor, right: torch.Tensor) -> float:
    """||left - right|| / ||right||."""
    assert left.shape == right.shape
    return float((left.double() - right.double()).norm() / right.double().norm())
