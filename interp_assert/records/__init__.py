"""What a run leaves behind: the results file. Importing this package imports neither torch, transformers nor numpy."""

from __future__ import annotations

from .provenance import run_provenance
from .results import SCHEMA, Results, model_entry, read_results, write_results
from .steps import ClaimOverSteps, Training, trainings

__all__ = [
    "SCHEMA",
    "ClaimOverSteps",
    "Results",
    "Training",
    "model_entry",
    "read_results",
    "run_provenance",
    "trainings",
    "write_results",
]
