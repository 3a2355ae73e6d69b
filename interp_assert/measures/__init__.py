"""One module per measurement: (model, prompts) -> per-cluster values. A measurement never decides."""

from __future__ import annotations

from .activations import read_last
from .answers import top_answers
from .attribution import DirectAttribution, attribute_difference
from .cka import debiased_linear_cka
from .component_patching import ComponentPatching, patch_components
from .drift import measure_drift
from .drift_scores import DriftScores, ResidualDrift
from .induction import InductionScores, measure_induction, measure_repeated_accuracy
from .lens import LensScores, first_hit, measure_logit_lens, sustained_crossover
from .lens_kl import lens_kl
from .moved import MovedParts
from .own import OwnMeasurement, measurement
from .probes import ProbeScores, probe_scores
from .text_drift import TextDrift, measure_text_drift
from .weight_drift import WeightDrift, measure_weight_drift

__all__ = [
    "ComponentPatching",
    "DirectAttribution",
    "DriftScores",
    "InductionScores",
    "LensScores",
    "MovedParts",
    "OwnMeasurement",
    "ProbeScores",
    "ResidualDrift",
    "TextDrift",
    "WeightDrift",
    "attribute_difference",
    "debiased_linear_cka",
    "first_hit",
    "lens_kl",
    "measure_drift",
    "measure_induction",
    "measure_logit_lens",
    "measure_repeated_accuracy",
    "measure_text_drift",
    "measure_weight_drift",
    "measurement",
    "patch_components",
    "probe_scores",
    "read_last",
    "sustained_crossover",
    "top_answers",
]
