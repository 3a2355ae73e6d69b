"""Open a language model for measurement: identity, anatomy, sites, traced forward passes, random-weight twins.

Importing this package imports neither torch, transformers nor numpy. (The modules behind it are light, so they are
imported at once: fetched lazily, the function ``load`` would be hidden by its module of the same name.)
"""

from __future__ import annotations

from .batching import BatchHalved, batches, for_batches
from .families import Family, register_family, register_kernel
from .load import load, preflight, wrap
from .metering import Meter, MeteredSpan
from .model import Model
from .rounding import rounded
from .sources.identity import Identity
from .sources.ids import ModelId, parse_id
from .twins import SCHEMES, Twin, Twins, default_twins, twins

__all__ = [
    "SCHEMES",
    "BatchHalved",
    "Family",
    "Identity",
    "Meter",
    "MeteredSpan",
    "Model",
    "ModelId",
    "Twin",
    "Twins",
    "batches",
    "default_twins",
    "for_batches",
    "load",
    "parse_id",
    "preflight",
    "register_family",
    "register_kernel",
    "rounded",
    "twins",
    "wrap",
]
