"""A measurement survives as builtins."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interp_assert.records.measured import measurement_entry, measurement_of
from interp_assert.stats import Measurement


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (float("-inf"), float("inf"))])
def test_a_measurement_comes_back_as_it_was(bounds: tuple[float, float]) -> None:
    values = np.array([1 / 3, 0.1 + 0.2, 1e-300])
    measured = Measurement("suite/check", 3, ("a", "b\n", "ü"), values, *bounds, "share", "lower", statistic="median")
    back = measurement_of(json.loads(json.dumps(measurement_entry(measured), allow_nan=False)))
    assert (back.values == values).all()
    for name in ("name", "version", "clusters", "lo", "hi", "unit", "direction", "statistic"):
        assert getattr(back, name) == getattr(measured, name)
