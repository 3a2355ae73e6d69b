"""One module per measurement: (model, prompts) -> per-cluster values. A measurement never decides."""

from __future__ import annotations

from .activations import read_last
from .induction import InductionScores, measure_induction, measure_repeated_accuracy
from .lens import LensScores, first_hit, measure_logit_lens, sustained_crossover
from .lens_kl import lens_kl
from .own import OwnMeasurement, measurement

__all__ = [
    "InductionScores",
    "LensScores",
    "OwnMeasurement",
    "first_hit",
    "lens_kl",
    "measure_induction",
    "measure_logit_lens",
    "measure_repeated_accuracy",
    "measurement",
    "read_last",
    "sustained_crossover",
]
