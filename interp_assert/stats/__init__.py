"""Statistics that know no model: measurements, the exact sequential gate, approximate comparisons, verdicts.

Names are fetched on first use, so that outcomes, levels and budgets cost no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .approximate import ApproximateGate as ApproximateGate
    from .approximate import TwinComparison as TwinComparison
    from .approximate import compare_with_twins as compare_with_twins
    from .approximate import logit_count as logit_count
    from .auroc import Pairs as Pairs
    from .auroc import delong as delong
    from .auroc import delong_variance as delong_variance
    from .auroc import disjoint_pairs as disjoint_pairs
    from .auroc import logit_delong_interval as logit_delong_interval
    from .auroc import pair_up as pair_up
    from .confidence import mean_interval as mean_interval
    from .gate import SequentialGate as SequentialGate
    from .levels import QUICK as QUICK
    from .levels import STANDARD as STANDARD
    from .levels import THOROUGH as THOROUGH
    from .levels import Budget as Budget
    from .levels import ErrorLevels as ErrorLevels
    from .measurement import BadMeasurement as BadMeasurement
    from .measurement import Cost as Cost
    from .measurement import Measurement as Measurement
    from .ratio import RatioGate as RatioGate
    from .ratio import ratio_interval as ratio_interval
    from .splits import Split as Split
    from .splits import split_by_group as split_by_group
    from .verdict import ControlResult as ControlResult
    from .verdict import Outcome as Outcome
    from .verdict import Verdict as Verdict
    from .verdict import combine as combine

_MODULES = {
    "ApproximateGate": "approximate",
    "BadMeasurement": "measurement",
    "Budget": "levels",
    "ControlResult": "verdict",
    "Cost": "measurement",
    "ErrorLevels": "levels",
    "Measurement": "measurement",
    "Outcome": "verdict",
    "Pairs": "auroc",
    "QUICK": "levels",
    "STANDARD": "levels",
    "RatioGate": "ratio",
    "SequentialGate": "gate",
    "Split": "splits",
    "THOROUGH": "levels",
    "TwinComparison": "approximate",
    "Verdict": "verdict",
    "combine": "verdict",
    "compare_with_twins": "approximate",
    "delong": "auroc",
    "delong_variance": "auroc",
    "disjoint_pairs": "auroc",
    "logit_count": "approximate",
    "mean_interval": "confidence",
    "logit_delong_interval": "auroc",
    "pair_up": "auroc",
    "ratio_interval": "ratio",
    "split_by_group": "splits",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
