"""The code mutants of this project: where they are, and how many of them are killed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

__all__ = ["PLACES", "killed"]

PLACES = {
    "tests/assertions/test_mutants.py": "assertions.test_mutants",
    "tests/assertions/test_probe_mutants.py": "assertions.test_probe_mutants",
    "tests/assertions/test_coder_mutants.py": "assertions.test_coder_mutants",
    "tests/assertions/test_steering_mutants.py": "assertions.test_steering_mutants",
    "tests/measures/test_drift_mutants.py": "measures.test_drift_mutants",
}
"""each has ``MUTANTS``: name -> (where, attribute, mutant, the check that must fail)"""


def killed(place: str) -> dict[str, Any]:
    """Put each mutant of a module into the code, as its tests do, and count those that a check notices."""
    mutants = import_module(PLACES[place]).MUTANTS
    return {"tests": place, "made": len(mutants), "killed": sum(_notices(*mutant) for mutant in mutants.values())}


def _notices(where: Any, attribute: str, mutant: Any, check: Any) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, attribute, mutant)
        try:
            check()
        except (AssertionError, ValueError):
            return True
    return False
