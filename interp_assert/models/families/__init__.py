"""What is stated about an architecture where a recorded pass cannot tell: ours here, users' own by the same decorator.

A statement says where to look; whether it holds is proven by numbers like everything that is discovered. Importing
this package imports neither torch nor transformers.
"""

from __future__ import annotations

from .family import Family
from .registry import family_of, module_class, register_family

__all__ = ["Family", "family_of", "module_class", "register_family"]
