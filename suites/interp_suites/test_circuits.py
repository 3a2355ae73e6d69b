"""Circuits: does the model carry out, in its activations, the algorithms that language models are known for?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert import Model, assert_induction


def test_induction(interp_model: Model, interp_floor: Callable[..., Any], interp_settings: dict[str, Any]) -> None:
    """It completes a repeated random sequence, better than a shuffled one and better than its random-weight twins.

    A floor on the accuracy itself: ``--interp-floor circuits/induction=0.9``.
    """
    assert_induction(interp_model, floor=interp_floor("circuits/induction"), **interp_settings)
