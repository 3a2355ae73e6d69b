"""Inputs for the checks of conformance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from interp_assert.models import Model


@pytest.fixture
def ids_of() -> Callable[..., torch.Tensor]:
    """``ids_of(model, rows=3, length=9)``: seeded token ids (rows, length), none of them special."""

    def draw(model: Model, rows: int = 3, length: int = 9) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(8, model.vocab_size - 8, (rows, length), generator=generator)

    return draw
