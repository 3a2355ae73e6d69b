"""Every claim is right as often as it promises: a sample of each family of runs, or all of them by a marker."""

from __future__ import annotations

import pytest

from .claims import CLAIMS, families_of
from .family import faults, tally


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_sample(claim: str) -> None:
    families = families_of(claim)
    assert {family.kind for family in families} == {"null", "boundary", "positive"}
    assert not [fault for family in families for fault in faults(family, tally(family, family.sample))]


@pytest.mark.calibration
@pytest.mark.parametrize("claim", CLAIMS)
def test_in_full(claim: str) -> None:
    assert not [fault for family in families_of(claim) for fault in faults(family, tally(family, family.full))]
