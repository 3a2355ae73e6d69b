"""Probes: what can be read off the activations at the end of a sentence that neither its words nor chance explain?

In all data sets no bag of words tells the label. Each is told apart by logistic regression after the block that does
best on groups kept for that choice, and judged on groups that the probe never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert import LabelledTexts, Model, assert_probe_auroc

Floor = Callable[..., Any]


def test_truth(
    interp_model: Model, truth_claims: LabelledTexts, interp_floor: Floor, interp_settings: dict[str, Any]
) -> None:
    """Whether a claim about a kind of thing or a capital is true.

    A floor on the AUROC itself: ``--interp-floor probes/truth=0.8``.
    """
    assert_probe_auroc(interp_model, truth_claims, floor=interp_floor("probes/truth"), **interp_settings)


def test_sentiment(
    interp_model: Model, opinions: LabelledTexts, interp_floor: Floor, interp_settings: dict[str, Any]
) -> None:
    """Whether an opinion, plain or negated, is favourable."""
    assert_probe_auroc(interp_model, opinions, floor=interp_floor("probes/sentiment"), **interp_settings)


def test_tense(
    interp_model: Model, tense_sentences: LabelledTexts, interp_floor: Floor, interp_settings: dict[str, Any]
) -> None:
    """Whether the main clause is in the past, beside a clause in the other tense."""
    assert_probe_auroc(interp_model, tense_sentences, floor=interp_floor("probes/tense"), **interp_settings)


def test_number(
    interp_model: Model, number_sentences: LabelledTexts, interp_floor: Floor, interp_settings: dict[str, Any]
) -> None:
    """Whether the subject is plural, beside a noun of the other number."""
    assert_probe_auroc(interp_model, number_sentences, floor=interp_floor("probes/number"), **interp_settings)
