"""``assert_drift_below``: how far a model may have moved from its base, and what of it the base could do it must keep.

``limits`` is the table of what may be limited, ``gates`` and ``every_entry`` decide it, each a ``gated``; ``kept`` and
its kinds are the claims that a model must not lose. ``readings`` holds what both models showed on the documents,
``run`` feeds the gates with it, ``report`` and ``verdict`` say what came out.
"""

from __future__ import annotations

from .claim import CHECK, DEFAULTS, DriftDefaults, assert_drift_below

__all__ = ["CHECK", "DEFAULTS", "DriftDefaults", "assert_drift_below"]
