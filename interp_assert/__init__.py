"""Test what is inside a language model the way you test code.

Importing this package imports nothing heavy: each public name is fetched from its room on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assertions import InterpAssertionError as InterpAssertionError
    from .assertions import NotApplicable as NotApplicable
    from .assertions import assert_beats_diff_of_means as assert_beats_diff_of_means
    from .assertions import assert_beats_random_weights as assert_beats_random_weights
    from .assertions import assert_conforms as assert_conforms
    from .assertions import assert_drift_below as assert_drift_below
    from .assertions import assert_induction as assert_induction
    from .assertions import assert_lens_crossover as assert_lens_crossover
    from .assertions import assert_measured as assert_measured
    from .assertions import assert_probe_auroc as assert_probe_auroc
    from .assertions import assert_sae_variance_explained as assert_sae_variance_explained
    from .assertions import assert_steers as assert_steers
    from .coders import load_coder as load_coder
    from .coders import save_coder as save_coder
    from .coders import train_coder as train_coder
    from .errors import InterpError as InterpError
    from .measures import measurement as measurement
    from .models import Family as Family
    from .models import Model as Model
    from .models import load as load
    from .models import register_family as register_family
    from .models import register_kernel as register_kernel
    from .models import wrap as wrap
    from .profiles import profile as profile
    from .profiles import register_measurement as register_measurement
    from .prompts import Endless as Endless
    from .prompts import LabelledTexts as LabelledTexts
    from .prompts import labelled_set as labelled_set
    from .prompts import read_labelled as read_labelled
    from .stats import Budget as Budget
    from .stats import ErrorLevels as ErrorLevels
    from .stats import Measurement as Measurement
    from .stats import Outcome as Outcome
    from .stats import Verdict as Verdict
    from .training import InterpCallback as InterpCallback

__version__ = "0.1.0.dev0"

_ROOMS = {
    "Budget": "stats",
    "Endless": "prompts",
    "ErrorLevels": "stats",
    "Family": "models",
    "InterpAssertionError": "assertions",
    "InterpCallback": "training",
    "InterpError": "errors",
    "LabelledTexts": "prompts",
    "Measurement": "stats",
    "Model": "models",
    "NotApplicable": "assertions",
    "Outcome": "stats",
    "Verdict": "stats",
    "assert_beats_diff_of_means": "assertions",
    "assert_beats_random_weights": "assertions",
    "assert_conforms": "assertions",
    "assert_drift_below": "assertions",
    "assert_induction": "assertions",
    "assert_lens_crossover": "assertions",
    "assert_sae_variance_explained": "assertions",
    "assert_measured": "assertions",
    "assert_probe_auroc": "assertions",
    "labelled_set": "prompts",
    "assert_steers": "assertions",
    "load": "models",
    "load_coder": "coders",
    "measurement": "measures",
    "profile": "profiles",
    "read_labelled": "prompts",
    "register_family": "models",
    "register_kernel": "models",
    "register_measurement": "profiles",
    "save_coder": "coders",
    "train_coder": "coders",
    "wrap": "models",
}

__all__ = ["__version__", *sorted(_ROOMS)]


def __getattr__(name: str) -> Any:
    try:
        room = _ROOMS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
