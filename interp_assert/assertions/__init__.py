"""``assert_*``: a claim and its controls make a Verdict; what is not PASS raises with the whole story."""

from __future__ import annotations

from .beats_diff_of_means import assert_beats_diff_of_means
from .beats_random_weights import assert_beats_random_weights
from .conformance import assert_conforms
from .drift import assert_drift_below
from .errors import InterpAssertionError, NotApplicable
from .induction import assert_induction
from .lens_crossover import assert_lens_crossover
from .measured import assert_measured
from .probe_auroc import assert_probe_auroc
from .progress import reporting
from .recording import recording
from .steers import assert_steers
from .variance_explained import assert_sae_variance_explained

__all__ = [
    "InterpAssertionError",
    "NotApplicable",
    "assert_beats_diff_of_means",
    "assert_beats_random_weights",
    "assert_conforms",
    "assert_drift_below",
    "assert_induction",
    "assert_lens_crossover",
    "assert_measured",
    "assert_probe_auroc",
    "assert_sae_variance_explained",
    "assert_steers",
    "recording",
    "reporting",
]
