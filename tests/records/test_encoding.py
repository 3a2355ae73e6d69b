"""Verdicts as JSON: what comes back is what went in, and nothing is run to bring it back."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_assert.records.encoding import CannotEncode, decoded, encoded
from interp_assert.stats import Asked, ControlResult, Cost, ErrorLevels, Measurement, Outcome, Verdict

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(list(Outcome))
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.sampled_from(["$float", "$object"]), inner)
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, entry.name), getattr(other, entry.name)) for entry in fields(one))
    return bool(one == other)


@given(values)
def test_everything_that_details_are_made_of_comes_back(value: Any) -> None:
    assert same(decoded(encoded(value)), value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool", "uint8", ">f4"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 0), (2, 3), ()])
def test_arrays_come_back_bit_by_bit(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(6)[: math.prod(shape)].reshape(shape).astype(dtype)
    back = decoded(encoded(array))
    assert same(back, array)
    back += True  # it can be written to


def test_a_verdict_with_all_that_it_has_comes_back() -> None:
    measured = Measurement(
        "a/b", 2, ("x", "ü"), np.array([0.1, 1 / 3]), -math.inf, math.inf, "nats", "lower",
        details={"heads": np.eye(2, dtype=np.float32)}, cost=Cost(3, 4, 0.5, 6),
    )  # fmt: skip
    control = ControlResult("twins", Outcome.FAIL, 0.1, (-math.inf, 0.2), None, 5, True, False, "n", {"k": (1, 2)})
    verdict = Verdict(
        "a/b", Outcome.INCONCLUSIVE, "zoo:x", None, "claim", 0.5, (0.1, math.inf), 7, 0.3, "lower", ErrorLevels(),
        (control,), {"by_block": [{"block": 1, "x": np.float32(0.5)}]}, Cost(1, 2, 3.0, 4), 9, "why",
        Outcome.PASS, (measured,), 12, Asked({"n": "8"}, 128, 0), Cost(9),
    )  # fmt: skip
    back = decoded(encoded(verdict))
    assert back.as_dict() == verdict.as_dict()
    assert same(back.measurements, verdict.measurements)
    with pytest.raises(ValueError, match="read-only"):
        back.measurements[0].values[0] = 1.0


class Outsider:
    pass


class Cost2(Cost):
    """Something else that pretends to be known."""


@pytest.mark.parametrize("value", [Outsider(), {"a": [Outsider]}, np.array([Outsider()]), {1, 2}, Cost2(), b"x"])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(CannotEncode):
        encoded(value)


@pytest.mark.parametrize(
    "text",
    ['{"$object": ["os.system", {}]}', '{"$object": ["Path", {}]}', '{"$unknown": 1}', '{"$array": ["O", [1], ""]}'],
)
def test_only_what_is_known_is_ever_made(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decoded(text)
