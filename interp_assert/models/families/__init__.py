"""What is stated about an architecture where a recorded pass cannot tell: ours here, users' own by the same decorator.

A statement says where to look; whether it holds is proven by numbers like everything that is discovered. Importing
this package imports neither torch nor transformers.
"""

from __future__ import annotations

from .family import Family
from .forms import register_kernel
from .registry import Supplied, family_of, prepare, register_family, supplied, supplies

__all__ = ["Family", "Supplied", "family_of", "prepare", "register_family", "register_kernel", "supplied", "supplies"]
