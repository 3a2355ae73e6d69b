"""Drift: what has become of the base model (``--interp-base ID``) in the model under test?

``test_claims`` needs no limit and reports everything else too: what moved, by block, which heads and neurons, and
which claims flipped. The other tests hold what moved against limits of yours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interp_assert import Model, assert_drift_below

Floor = Callable[..., Any]


def test_claims(interp_model: Model, interp_base: Model, interp_floor: Floor, interp_settings: dict[str, Any]) -> None:
    """Of what the base can do (induction, facts) it has lost less than 0.05; which probes flipped is told.

    Another limit: ``--interp-floor drift/claims=0.1``. The budget ``quick`` can refute 0.05 but not establish it.
    """
    limit = interp_floor("drift/claims", default=0.05)
    assert_drift_below(interp_model, interp_base, claims_lost=limit, **interp_settings)


def test_output(interp_model: Model, interp_base: Model, interp_floor: Floor, interp_settings: dict[str, Any]) -> None:
    """The total variation between the next-token distributions is below ``--interp-floor drift/output=...``."""
    limit = limit_of(interp_floor, "drift/output")
    assert_drift_below(interp_model, interp_base, total_variation=limit, **interp_settings)


def test_text(interp_model: Model, interp_base: Model, interp_floor: Floor, interp_settings: dict[str, Any]) -> None:
    """It predicts what the base writes worse by less than ``--interp-floor drift/text=...`` nats per character.

    Each of the two reads the texts in its own tokens, so their tokenizers may differ.
    """
    limit = limit_of(interp_floor, "drift/text")
    assert_drift_below(interp_model, interp_base, by_text=limit, **interp_settings)


def test_residual(
    interp_model: Model, interp_base: Model, interp_floor: Floor, interp_settings: dict[str, Any]
) -> None:
    """At every block E||x' - x|| / E||x|| is below ``--interp-floor drift/residual=...``."""
    limit = limit_of(interp_floor, "drift/residual")
    assert_drift_below(interp_model, interp_base, residual=limit, **interp_settings)


def test_weights(interp_model: Model, interp_base: Model, interp_floor: Floor, interp_settings: dict[str, Any]) -> None:
    """In every block the weights moved by less than ``--interp-floor drift/weights=...`` of their norm."""
    limit = limit_of(interp_floor, "drift/weights")
    assert_drift_below(interp_model, interp_base, weights=limit, **interp_settings)


def limit_of(interp_floor: Floor, check: str) -> float:
    """The user's limit; there is no other."""
    limit = interp_floor(check)
    if limit is None:
        pytest.skip(
            f"no limit is set: --interp-floor {check}=0.1; how far it moved stands in the details of drift/claims"
        )
    return float(limit)
