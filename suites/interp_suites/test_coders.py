"""Coders: is the variance of what goes on inside explained by few active latents, better than chance would have it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert import Model, assert_sae_variance_explained


def test_variance_explained(
    interp_model: Model,
    interp_coder: dict[str, Any],
    interp_floor: Callable[..., Any],
    interp_site: Callable[..., Any],
    interp_settings: dict[str, Any],
) -> None:
    """A TopK coder of the middle block explains more than the same recipe does on random-weight twins.

    A coder of yours: ``--interp-coder blocks.6.resid_post=./sae``, with an absolute floor:
    ``--interp-floor coders/variance_explained=0.8``. Without one, a coder is trained; a model of more than 20 million
    parameters gets one of twice its width, which is told to be undertrained.
    """
    floor, site = interp_floor("coders/variance_explained"), interp_site("coders/variance_explained")
    coder = interp_coder if site is None else {**interp_coder, "site": site}
    assert_sae_variance_explained(interp_model, **coder, floor=floor, **interp_settings)
