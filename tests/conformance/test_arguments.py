"""What a check is asked to try: what it cannot use is refused, and never held against the model."""

from __future__ import annotations

from typing import Any

import pytest
from models.tiny import build

from interp_assert import assert_conforms, wrap
from interp_assert.errors import BadEdit, UsageProblem
from interp_assert.models import Model

IDS = [[3, 4, 5], [6, 7, 8]]


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(build("llama"), id="tiny")


@pytest.mark.parametrize("position", [0, 3, -1, 1.0])
def test_a_position_outside_the_ids_is_refused(model: Model, position: Any) -> None:
    with pytest.raises(UsageProblem, match=f"from 1 to 2 for ids of 3 positions, not {position}"):
        assert_conforms(model, "causality", ids=IDS, position=position)


def test_what_a_check_does_not_draw_is_refused(model: Model) -> None:
    with pytest.raises(UsageProblem, match="chain takes no position: it compares ids"):
        assert_conforms(model, "chain", ids=IDS, position=1)
    with pytest.raises(UsageProblem, match="causality takes no edit: it compares ids and position"):
        assert_conforms(model, "causality", ids=IDS, edit=lambda site: site)
    with pytest.raises(UsageProblem, match=r"goes with ids.*'causality', ids="):
        assert_conforms(model, "causality", position=1)


def test_an_edit_that_gives_nothing_is_no_fault_of_the_model(model: Model) -> None:
    with pytest.raises(BadEdit, match="NoneType"):
        assert_conforms(model, "foreign_rows", ids=IDS, edit=lambda site: None)
    assert assert_conforms(model, "foreign_rows", ids=IDS, position=1, edit=lambda site: -site).n == 1
