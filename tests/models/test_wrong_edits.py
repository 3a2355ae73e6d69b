"""Edits and positions that cannot be carried out: told by site, value and limit, with nothing left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_assert import wrap
from interp_assert.errors import BadEdit, UsageProblem
from interp_assert.models import Model, edits

from . import tiny

SITE = "blocks.1.resid_mid"


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(tiny.build("llama"), id="tiny")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (edits.add(torch.zeros(31)), r"what it adds has shape \(31,\), the site \(.*, 12, \d+\)"),
        (edits.project_out(torch.zeros(31)), r"its direction has shape \(31,\); the site's vectors are \(\d+,\)"),
        (edits.add(torch.zeros(3, device="meta")), "on the meta device and has no values"),
        (torch.zeros(2, device="meta"), "on the meta device and has no values"),
        (torch.zeros(1, dtype=torch.complex64), r"its tensor is torch.complex64, the site torch.float32: .*\.real"),
        (np.array(["a"]), "an edit is a tensor, a number or a function .* is ndarray"),
        ([0.0] * 1000, r"a function of the site's tensor; \[0.0, 0.0, .*\.\.\.\] is list"),
        (None, "None is NoneType"),
        (edits.at(12, 0.0), "Position 12 is outside the 12 positions"),
        (edits.at([11, -1], 0.0), r"positions \[11, -1\] name one of 12 positions twice"),
        (edits.at([1, 2], edits.add(torch.zeros(3))), r"what it adds has shape \(3,\)"),
    ],
)
def test_an_edit_that_cannot_be_carried_out_is_told_with_its_site(model: Model, edit: Any, says: str) -> None:
    plain = model.trace(tiny.token_ids()).logits
    with pytest.raises(BadEdit, match=rf"^The edit of '{SITE}': .*{says}"):
        model.trace(tiny.token_ids(), write={SITE: edit})
    assert torch.equal(model.trace(tiny.token_ids()).logits, plain)


def test_the_site_is_named_once(model: Model) -> None:
    def inner(value: torch.Tensor) -> torch.Tensor:
        model.trace(tiny.token_ids(), write={SITE: None})
        return value

    with pytest.raises(BadEdit, match=rf"^The edit of '{SITE}': an edit is"):
        model.trace(tiny.token_ids(), write={SITE: inner})


@pytest.mark.parametrize("positions", [1.5, "3", [1.0], True, [True, False], torch.tensor([1.7]), None])
def test_positions_are_whole_numbers(model: Model, positions: Any) -> None:
    with pytest.raises(BadEdit, match="Positions are whole numbers"):
        edits.at(positions, 0.0)
    if positions is not None:  # of a trace: all
        with pytest.raises(UsageProblem, match="Positions are whole numbers"):
            model.trace(tiny.token_ids(), positions=positions)


@pytest.mark.parametrize("positions", [np.int64(3), torch.tensor(3), torch.tensor([3]), np.array([-9]), range(3, 4)])
def test_positions_of_numpy_and_torch_are_positions(model: Model, positions: Any) -> None:
    ids = tiny.token_ids()
    wanted = model.trace(ids, write={SITE: edits.at(3, 0.0)}, positions=[3]).logits
    assert torch.equal(model.trace(ids, write={SITE: edits.at(positions, 0.0)}, positions=positions).logits, wanted)


def test_what_to_write_is_a_mapping(model: Model) -> None:
    with pytest.raises(UsageProblem, match=r"\{site: edit\}; it is list"):
        model.trace(tiny.token_ids(), write=[SITE])
