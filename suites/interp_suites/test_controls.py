"""Controls: is it training that made a difference, and does what was found inside steer what the model says?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interp_assert import (
    Model,
    assert_beats_random_weights,
    assert_measured,
    assert_steers,
    continents,
    induction_accuracy,
    own_measurements,
)

OWN = own_measurements()


@pytest.mark.parametrize("scheme", ["permute", "resample_keepemb"])
def test_random_weights(interp_model: Model, scheme: str, interp_settings: dict[str, Any]) -> None:
    """Its induction is out of reach of twins whose weights are shuffled, and of twins that keep its embeddings.

    (The claim in ``circuits`` compares it with twins whose weights are drawn anew.)
    """
    levels, seed = interp_settings["levels"], interp_settings["seed"]
    assert_beats_random_weights(
        induction_accuracy(interp_model, seed=seed), interp_model, scheme=scheme, levels=levels, seed=seed
    )


def test_steering(interp_model: Model, interp_floor: Callable[..., Any], interp_settings: dict[str, Any]) -> None:
    """The difference between prompts about Europe and about Asia, added to its stream, tips the answer.

    Another share of prompts that must follow: ``--interp-floor controls/steering=0.9``.
    """
    floor = interp_floor("controls/steering", default=0.75)
    assert_steers(interp_model, continents(), target=("Europe", "Asia"), floor=floor, **interp_settings)


if OWN:

    @pytest.mark.parametrize("measure", OWN, ids=[measure.name for measure in OWN])
    def test_own(interp_model: Model, measure: Any, interp_settings: dict[str, Any]) -> None:
        """A measurement that another package brings: better than on its null input, and than its random-weight twins.

        One without a null input is only compared with twins.
        """
        if measure.null is not None:
            assert_measured(measure, interp_model, **interp_settings)
        else:
            levels, seed = interp_settings["levels"], interp_settings["seed"]
            assert_beats_random_weights(measure, interp_model, levels=levels, seed=seed)
