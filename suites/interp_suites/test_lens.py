"""Logit lens: where between the embedding and the last block does the answer become readable?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert import Model, assert_lens_crossover


def test_crossover(interp_model: Model, interp_floor: Callable[..., Any], interp_settings: dict[str, Any]) -> None:
    """Of the facts that it answers, at least half are at the top of the logit lens from three quarters of its depth on.

    Another share: ``--interp-floor lens/crossover=0.8``.
    """
    assert_lens_crossover(interp_model, floor=interp_floor("lens/crossover", default=0.5), **interp_settings)
