"""Controls: is it training that made a difference, and does what was found inside steer what the model says?"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from interp_assert import (
    InterpAssertionError,
    InterpError,
    Measurement,
    Model,
    NotApplicable,
    Outcome,
    assert_beats_random_weights,
    assert_measured,
    assert_steers,
)
from interp_assert.measures import measure_repeated_accuracy
from interp_assert.profiles import own_measurements
from interp_assert.prompts import RepeatedTokenStream, continents, token_pool

CLUSTERS = 64
DEPTH = 0.75
"""by which the lens claim wants facts to stand, such as those that are steered here"""
OWN = own_measurements()


def test_permuted_weights(interp_model: Model, interp_settings: dict[str, Any]) -> None:
    """Its induction is out of reach of twins that have its weights in another order."""
    beats_twins(interp_model, "permute", "controls/permuted_weights", interp_settings)


def test_kept_embeddings(interp_model: Model, interp_settings: dict[str, Any]) -> None:
    """Its induction is out of reach of twins that keep its embeddings, and nothing else of what it learned."""
    beats_twins(interp_model, "resample_keepemb", "controls/kept_embeddings", interp_settings)


def test_steering(interp_model: Model, interp_floor: Callable[..., Any], interp_settings: dict[str, Any]) -> None:
    """The difference between prompts about Europe and about Asia, added to its stream, tips the answer. After three
    quarters of the blocks: the continent of a country is a fact, and one that is not there yet cannot be moved.

    Another share of prompts that must follow: ``--interp-floor controls/steering=0.9``.
    """
    floor = interp_floor("controls/steering", default=0.75)
    layer = ceil(DEPTH * int(interp_model.anatomy.n_blocks))
    assert_steers(interp_model, continents(), target=("Europe", "Asia"), layer=layer, floor=floor, **interp_settings)


if OWN:

    def test_own(interp_model: Model, interp_settings: dict[str, Any]) -> None:
        """What is measured besides (``register_measurement``, entry points ``interp_assert.measures``): each better
        than on its null input and than its random-weight twins. One without a null input is only compared with twins.

        All of them are judged. The worst decides: what a model lacks for one is no excuse for another.
        """
        failures: list[InterpError | InterpAssertionError] = []
        for measure in OWN:
            try:
                if measure.null is None:
                    assert_beats_random_weights(measure, interp_model, check=measure.name, **interp_settings)
                else:
                    assert_measured(measure, interp_model, **interp_settings)
            except (InterpError, InterpAssertionError) as failure:
                failures.append(failure)
        lacking = [failure for failure in failures if isinstance(failure, NotApplicable)]
        if len(lacking) < len(failures) or len(lacking) == len(OWN):
            raise min(failures, key=severity)


def beats_twins(model: Model, scheme: str, check: str, settings: dict[str, Any]) -> None:
    """Accuracy on the second copy of random tokens, against twins with weights of this scheme. (The claim in
    ``circuits`` compares it with twins whose weights are drawn anew.)
    """

    def induction(subject: Model) -> Measurement:
        clusters = RepeatedTokenStream(token_pool(subject), seed=settings["seed"]).take(0, CLUSTERS)
        return measure_repeated_accuracy(subject, clusters)

    assert_beats_random_weights(induction, model, name="induction accuracy", check=check, scheme=scheme, **settings)


def severity(failure: Exception) -> int:
    """An error goes before FAIL, that before INCONCLUSIVE, and what is lacking comes last."""
    if not isinstance(failure, InterpAssertionError):
        return 0
    return [Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE].index(failure.verdict.outcome) + 1
