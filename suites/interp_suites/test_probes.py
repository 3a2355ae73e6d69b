"""Probes: what can be read off the activations at the end of a sentence that neither its words nor chance explain?

In all data sets no bag of words tells the label. Each is told apart by logistic regression after the block that does
best on groups kept for that choice, and judged on groups that the probe never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert import LabelledTexts, Model, assert_probe_auroc

Asked = Callable[..., Any]
Settings = dict[str, Any]


def test_truth(
    interp_model: Model, truth_claims: LabelledTexts, interp_floor: Asked, interp_site: Asked, interp_settings: Settings
) -> None:
    """Whether a claim about a kind of thing or a capital is true.

    A floor on the AUROC itself: ``--interp-floor probes/truth=0.8``.
    """
    floor, layer = interp_floor("probes/truth"), interp_site("probes/truth", default="best")
    assert_probe_auroc(interp_model, truth_claims, floor=floor, layer=layer, **interp_settings)


def test_sentiment(
    interp_model: Model, opinions: LabelledTexts, interp_floor: Asked, interp_site: Asked, interp_settings: Settings
) -> None:
    """Whether an opinion, plain or negated, is favourable."""
    floor, layer = interp_floor("probes/sentiment"), interp_site("probes/sentiment", default="best")
    assert_probe_auroc(interp_model, opinions, floor=floor, layer=layer, **interp_settings)


def test_tense(
    interp_model: Model,
    tense_sentences: LabelledTexts,
    interp_floor: Asked,
    interp_site: Asked,
    interp_settings: Settings,
) -> None:
    """Whether the main clause is in the past, beside a clause in the other tense."""
    floor, layer = interp_floor("probes/tense"), interp_site("probes/tense", default="best")
    assert_probe_auroc(interp_model, tense_sentences, floor=floor, layer=layer, **interp_settings)


def test_number(
    interp_model: Model,
    number_sentences: LabelledTexts,
    interp_floor: Asked,
    interp_site: Asked,
    interp_settings: Settings,
) -> None:
    """Whether the subject is plural, beside a noun of the other number."""
    floor, layer = interp_floor("probes/number"), interp_site("probes/number", default="best")
    assert_probe_auroc(interp_model, number_sentences, floor=floor, layer=layer, **interp_settings)
