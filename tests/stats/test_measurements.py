"""A measurement keeps one finite, bounded, read-only value per cluster and compares in pairs only."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from interp_assert.errors import NonFiniteMeasurement
from interp_assert.stats import BadMeasurement, Cost, Measurement


def measurement(values, clusters=None, **changes):
    fields = {
        "name": "accuracy",
        "version": 1,
        "clusters": clusters if clusters is not None else tuple(f"c{i}" for i in range(len(values))),
        "values": values,
        "lo": 0.0,
        "hi": 1.0,
        "unit": "fraction",
        "direction": "higher",
    }
    return Measurement(**{**fields, **changes})


def test_values_are_float64_copies_that_nobody_can_change():
    source = np.array([0.0, 1.0, 1.0], dtype=np.float32)
    measured = measurement(source)
    source[0] = 1.0
    assert measured.values.dtype == np.float64
    assert measured.values.tolist() == [0.0, 1.0, 1.0]
    for twin in (measured, copy.deepcopy(measured), pickle.loads(pickle.dumps(measured)), measured.head(2)):
        with pytest.raises(ValueError, match="read-only"):
            twin.values[0] = 0.5


def test_n_and_estimate():
    assert (measurement([0.0, 1.0, 0.5]).n, measurement([0.0, 1.0, 0.5]).estimate) == (3, 0.5)
    assert measurement([0.0, 0.0, 1.0], statistic="median").estimate == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(bad):
    with pytest.raises(NonFiniteMeasurement, match=r"accuracy is -?(nan|inf) on cluster 'b' \(2 of 4 clusters"):
        measurement([0.0, bad, 1.0, bad], ("a", "b", "c", "d"))


def test_not_finite_is_refused_also_in_an_unbounded_range():
    with pytest.raises(NonFiniteMeasurement):
        measurement([np.inf], lo=-np.inf, hi=np.inf)


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, 5.0])
def test_values_out_of_range_are_refused(value):
    with pytest.raises(BadMeasurement, match=r"on cluster 'c1', outside its declared range \[0.0, 1.0\]"):
        measurement([0.0, value])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clusters": ("a", "b", "a"), "values": [0, 0, 0]}, "cluster 'a' occurs twice"),
        ({"clusters": ("a",), "values": [0, 0]}, r"shape \(2,\) for 1 clusters"),
        ({"clusters": ("a", "b"), "values": [[0, 0]]}, r"shape \(1, 2\)"),
        ({"clusters": (), "values": []}, "no clusters were measured"),
        ({"direction": "up"}, "direction 'up' must be"),
        ({"statistic": "mode"}, "statistic 'mode' must be one of mean, median"),
        ({"lo": 1.0, "hi": 1.0}, r"range \[1.0, 1.0\] is empty"),
        ({"lo": float("nan")}, "is empty"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(BadMeasurement, match=message):
        measurement(**{"values": [0.5], **changes})


def test_minus_pairs_clusters_and_spans_the_range_of_differences():
    left = measurement([1.0, 0.5], lo=0.0, hi=1.0, cost=Cost(2, 10, 1.0, 5))
    right = measurement([0.25, 1.0], name="shuffled", lo=0.0, hi=2.0, cost=Cost(1, 5, 0.5, 9))
    difference = left.minus(right)
    assert difference.values.tolist() == [0.75, -0.5]
    assert (difference.lo, difference.hi, difference.name) == (-2.0, 1.0, "accuracy - shuffled")
    assert difference.cost == Cost(3, 15, 1.5, 9)
    assert left.minus(right, name="gain").name == "gain"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("c1", "c0"), "cluster 0 is 'c0' in one and 'c1' in the other"),
        (("c0", "c1", "c2"), "one has 2 clusters and the other 3"),
    ],
)
def test_minus_refuses_other_clusters(other, message):
    with pytest.raises(BadMeasurement, match=message):
        measurement([0, 1]).minus(measurement([0.5] * len(other), other))


def test_minus_refuses_another_unit():
    with pytest.raises(BadMeasurement, match="in fraction, accuracy in nats"):
        measurement([0.0]).minus(measurement([0.0], unit="nats"))


def test_extend_appends_clusters_and_per_cluster_details():
    head = measurement([0.0, 1.0], details={"rank": np.array([4, 0]), "block": 3, "pooled": np.zeros(7)})
    tail = measurement([1.0], ("c2",), details={"rank": np.array([2]), "block": 3, "pooled": np.ones(7)})
    whole = head.extend(tail)
    assert whole.clusters == ("c0", "c1", "c2")
    assert whole.values.tolist() == [0.0, 1.0, 1.0]
    assert whole.details["rank"].tolist() == [4, 0, 2]
    assert whole.details["block"] == 3
    assert "pooled" not in whole.details


def test_extend_refuses_known_clusters_and_other_quantities():
    with pytest.raises(BadMeasurement, match="'c0' occurs twice"):
        measurement([0.0]).extend(measurement([1.0]))
    with pytest.raises(BadMeasurement, match="version is 1 here and 2 there"):
        measurement([0.0]).extend(measurement([1.0], ("x",), version=2))


def test_head_cuts_values_and_rows():
    whole = measurement([0.0, 0.5, 1.0], details={"rank": np.arange(3), "block": 2})
    assert whole.head(2).values.tolist() == [0.0, 0.5]
    assert whole.head(2).details["rank"].tolist() == [0, 1]
    assert whole.head(2).details["block"] == 2
    for n in (0, 4):
        with pytest.raises(BadMeasurement, match=f"1 to 3 of them, not {n}"):
            whole.head(n)


def test_costs_add_but_of_two_peaks_the_higher_counts():
    assert Cost(1, 2, 0.5, 100) + Cost(10, 20, 0.25, 70) == Cost(11, 22, 0.75, 100)
