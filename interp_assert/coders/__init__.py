"""Sparse coders of activations: kinds, training, figures, files.

Names are fetched on first use, so that naming this room costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coder import Coder as Coder
    from .coder import kind_named as kind_named
    from .coder import kinds as kinds
    from .coder import register_kind as register_kind
    from .cross_entropy import CrossEntropyRecovered as CrossEntropyRecovered
    from .cross_entropy import cross_entropy_recovered as cross_entropy_recovered
    from .disk import load_coder as load_coder
    from .disk import save_coder as save_coder
    from .metrics import CoderScores as CoderScores
    from .metrics import evaluate_coders as evaluate_coders
    from .reading import SiteReader as SiteReader
    from .recipe import Recipe as Recipe
    from .training import fit_coders as fit_coders
    from .training import train_coder as train_coder
    from .training import train_coders as train_coders
    from .usual import recipe_for as recipe_for

_MODULES = {
    "Coder": "coder",
    "CoderScores": "metrics",
    "CrossEntropyRecovered": "cross_entropy",
    "Recipe": "recipe",
    "recipe_for": "usual",
    "SiteReader": "reading",
    "cross_entropy_recovered": "cross_entropy",
    "evaluate_coders": "metrics",
    "fit_coders": "training",
    "kind_named": "coder",
    "kinds": "coder",
    "load_coder": "disk",
    "register_kind": "coder",
    "save_coder": "disk",
    "train_coder": "training",
    "train_coders": "training",
}

__all__ = [*_MODULES]


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
