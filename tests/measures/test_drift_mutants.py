"""Each way to get drift wrong is put into the code, and a check that the real code passes must fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import interp_assert.measures.drift as drift
from interp_assert.measures import ResidualDrift, cka, debiased_linear_cka, output_drift, weight_drift

from . import test_drift_measure as oracle

real_run, real_squares = drift._Comparison.run, weight_drift._squares


def every_number_is_as_computed() -> None:
    oracle.TestTheOracle().test_every_number_is_as_computed(2.0, 3)


def weights_moved_in_their_block_alone() -> None:
    oracle.TestTheOracle().test_weights_moved_by_the_delta_in_its_block_alone()


def unrelated_representations_have_no_cka() -> None:
    """256 dimensions, 32 positions: the biased estimate is .89."""
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 32, 256, generator=generator, dtype=torch.float64) for _ in range(6)]
    assert abs(np.mean([debiased_linear_cka(x, y) for x, y in pairs])) < 0.05


def with_itself(self: Any, ids: torch.Tensor) -> Any:
    self.base = self.model
    return real_run(self, ids)


def swapped(self: Any, ids: torch.Tensor) -> Any:
    self.model, self.base = self.base, self.model
    try:
        return real_run(self, ids)
    finally:
        self.model, self.base = self.base, self.model


def with_the_diagonal(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    kept = values.double() * keep[..., None]
    kept = (kept - kept.sum(-2, keepdim=True) / keep.sum(-1)[:, None, None]) * keep[..., None]
    return kept @ kept.mT


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "BOS counted": (
        drift._Comparison,
        "_counted",
        lambda self, ids: torch.ones_like(ids, dtype=torch.bool),
        every_number_is_as_computed,
    ),
    "mean of ratios": (
        ResidualDrift,
        "relative",
        property(lambda self: np.nan_to_num(self.moved / self.size).mean(0)),
        every_number_is_as_computed,
    ),
    "wrong block": (
        drift,
        "lens_sites",
        lambda model: [f"blocks.{i}.resid_pre" for i in (0, 0, 1, 2, 3)],
        every_number_is_as_computed,
    ),
    "compared with itself": (drift._Comparison, "run", with_itself, every_number_is_as_computed),
    "model and base swapped": (drift._Comparison, "run", swapped, every_number_is_as_computed),
    "KL the other way round": (
        output_drift,
        "kl_to",
        lambda reference, other: (other.exp() * (other - reference)).sum(-1),
        every_number_is_as_computed,
    ),
    "biased CKA": (cka, "_gram", with_the_diagonal, unrelated_representations_have_no_cka),
    "weights relative to the model": (
        weight_drift,
        "_squares",
        lambda mine, theirs: real_squares(theirs, mine),
        weights_moved_in_their_block_alone,
    ),
}

CHECKS = list(dict.fromkeys(check for *_, check in MUTANTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_code_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, mutant, check = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    with pytest.raises(AssertionError):
        check()
