"""Profile: one row per model over all measurements, with intervals. Measures, decides nothing.

Asked for by name: ``--interp-suites=profile``. Always on all clusters of the budget, so that profiles compare.
"""

from __future__ import annotations

from typing import Any

from interp_assert import Model, profile


def test_profile(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """Every measurement that is not costly; red only if one gives numbers that are not finite."""
    made = profile(interp_model, **interp_search)
    assert not made.broken, "; ".join(made.broken)
