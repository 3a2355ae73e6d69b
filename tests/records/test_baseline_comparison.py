"""What was measured now against a baseline: in pairs, and only what can be compared."""

from __future__ import annotations

from typing import Any

import pytest

from interp_assert.records.baseline_comparison import compared, written
from interp_assert.records.baselines import Baseline, Weights, key_of, stored_of

OLD, NEW = (Weights(sha256=letter * 64, revision=None, dtype="float32") for letter in "ab")
LEVELS = {"pass": 0.01, "fail": 0.001, "control": 0.01}


def record(values: dict[str, float] | None, **given: Any) -> dict[str, Any]:
    measured = {
        "name": "suite/check", "version": given.pop("version", 1), "unit": given.pop("unit", "share"),
        "direction": given.pop("direction", "higher"), "statistic": "mean", "lo": given.pop("lo", 0.0),
        "hi": given.pop("hi", 1.0), "clusters": list(values or ()), "values": list((values or {}).values()),
    }  # fmt: skip
    asked = {
        "parameters": given.pop("parameters", {}),
        "clusters": given.pop("budget", 128),
        "seed": given.pop("seed", 0),
    }
    usual = {
        "check": "suite/check", "model": "zoo:x", "nodeid": "interp::suite", "verdict": "PASS", "reason": "",
        "levels": LEVELS, "population": None, "asked": asked, "measurements": [measured] if values else [],
    }  # fmt: skip
    return usual | given


def draws(value: float, n: int = 128, start: int = 0) -> dict[str, float]:
    return {f"seed=0/{k}": value for k in range(start, start + n)}


def against(before: dict[str, Any], now: dict[str, Any], *, weights: Weights = NEW, strict: bool = False) -> Any:
    stored = stored_of(before)
    assert stored is not None
    baseline = Baseline.empty("zoo:x", OLD).with_checks(OLD, {key_of(before): stored})
    return compared(now, baseline, weights, strict=strict)


@pytest.mark.parametrize(("now", "verdict"), [(0.98, "PASS"), (1.0, "PASS"), (0.5, "FAIL"), (0.93, "INCONCLUSIVE")])
def test_it_passes_if_it_is_not_worse_and_fails_if_it_is(now: float, verdict: str) -> None:
    entry = against(record(draws(0.98, 512)), record(draws(now, 512)))
    assert (entry["status"], entry["verdict"], entry["fails"]) == ("compared", verdict, verdict != "PASS")
    assert (entry["before"], entry["now"], entry["limit"], entry["n"]) == (
        pytest.approx(0.98), pytest.approx(now), -0.05, 512,
    )  # fmt: skip
    assert entry["interval"][0] <= entry["change"] <= entry["interval"][1]
    assert entry["weights"]["before"]["sha256"] != entry["weights"]["now"]["sha256"]
    assert bool(entry["reason"]) == (verdict != "PASS")


def test_the_same_weights_with_the_same_values_pass_however_few_there_are() -> None:
    few = record({"seed=0/0": 1.0, "seed=0/1": 0.0})
    assert against(few, few, weights=OLD)["verdict"] == "PASS"
    assert against(few, few, weights=NEW)["verdict"] == "INCONCLUSIVE"
    other = record({"seed=0/0": 1.0, "seed=0/1": 0.5})
    assert against(few, other, weights=OLD)["verdict"] == "INCONCLUSIVE"


def test_rounding_in_the_file_is_no_difference() -> None:
    third = record({f"seed=0/{k}": k / 7 for k in range(7)})
    assert against(third, third, weights=OLD)["reason"] == "the same weights, the same values"


def test_the_same_weights_on_another_machine_are_the_same_up_to_rounding() -> None:
    """A benign difference of a millionth on 64 clusters would be undecided otherwise."""
    before, now = record(draws(0.5, 64)), record(draws(0.50002, 64))
    assert against(before, now, weights=OLD)["verdict"] == "PASS"
    assert against(before, now, weights=NEW)["verdict"] == "INCONCLUSIVE"
    assert against(before, record(draws(0.5002, 64)), weights=OLD)["verdict"] == "INCONCLUSIVE"
    unbounded = {"lo": None, "hi": None}
    pair = record(draws(300.0, 64), **unbounded), record(draws(300.01, 64), **unbounded)
    assert against(*pair, weights=OLD)["verdict"] == "PASS"


class TestLists:
    def test_what_has_no_value_any_more_counts_as_the_worst(self) -> None:
        """A model that answers only what is easy has not become better."""
        before = record({"France": 1.0, "Peru": 0.0, "Chad": 1.0}, population=3)
        entry = against(before, record({"France": 1.0}, population=1))
        assert (entry["verdict"], entry["now"], entry["n"]) == ("FAIL", pytest.approx(1 / 3), 3)
        lower = {"direction": "lower"}
        before = record({"France": 0.0, "Peru": 0.0}, population=2, **lower)
        assert against(before, record({"France": 0.0}, population=1, **lower))["now"] == 0.5

    def test_what_is_new_is_left_out(self) -> None:
        before, now = record({"France": 1.0}, population=1), record({"France": 1.0, "Peru": 0.0}, population=2)
        entry = against(before, now)
        assert (entry["verdict"], entry["n"], entry["now"]) == ("PASS", 1, 1.0)

    def test_a_list_of_which_some_was_measured_is_a_sample(self) -> None:
        """Of 1,000 facts 64 were asked: that none of them was lost says little about the others."""
        before = record(draws(1.0, 64), population=1000)
        assert against(before, before)["verdict"] == "INCONCLUSIVE"
        assert against(record(draws(1.0, 64), population=64), before)["verdict"] == "PASS"

    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (record({"Rome": 1.0}, population=1), "another list"),
            (record({"France": 1.0}, population=1, budget=512), "run with the same budget"),
        ],
    )
    def test_another_list_is_not_compared(self, now: dict[str, Any], told: str) -> None:
        entry = against(record({"France": 1.0, "Peru": 1.0}, population=2), now)
        assert (entry["status"], entry["verdict"]) == ("incomparable", None)
        assert told in entry["reason"]

    def test_without_bounds_there_is_no_worst(self) -> None:
        bounds = {"lo": None, "hi": None, "population": 2}
        entry = against(record({"a": 3.0, "b": 4.0}, **bounds), record({"a": 3.0}, **bounds))
        assert entry["status"] == "incomparable"


class TestDraws:
    def test_the_clusters_of_the_smaller_budget_are_compared(self) -> None:
        more, fewer = record(draws(1.0, 512), budget=512), record(draws(1.0, 256), budget=256)
        assert [against(*pair)["n"] for pair in ((more, fewer), (fewer, more))] == [256, 256]

    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (record(draws(1.0), seed=1), "seed 0, this run of seed 1"),
            (record(draws(1.0, start=100)), "only 28 of its 128 clusters"),
        ],
    )
    def test_other_clusters_are_not_compared(self, now: dict[str, Any], told: str) -> None:
        entry = against(record(draws(1.0)), now)
        assert (entry["status"], entry["fails"]) == ("incomparable", False)
        assert told in entry["reason"]
        assert against(record(draws(1.0)), now, strict=True)["fails"]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("changed", [{"version": 2}, {"unit": "nats"}, {"hi": 2.0}, {"direction": "lower"}])
def test_another_definition_is_stale_told_and_not_compared(changed: dict[str, Any], strict: bool) -> None:
    entry = against(record(draws(1.0)), record(draws(0.0), **changed), strict=strict)
    assert (entry["status"], entry["verdict"], entry["fails"]) == ("stale", None, False)
    assert "--interp-baseline=update" in entry["reason"]


@pytest.mark.parametrize("verdict", ["NOT_APPLICABLE", "FAIL"])
def test_what_can_no_longer_be_measured_is_lost(verdict: str) -> None:
    now = record(None, verdict=verdict, reason="it answers facts of 3 entities\nat least 20")
    entry = against(record(draws(1.0)), now)
    assert (entry["status"], entry["fails"], entry["now"]) == ("lost", True, None)
    assert "it answers facts of 3 entities at least 20" in entry["reason"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_missing_baseline_fails_where_it_must_not_be_missing(strict: bool) -> None:
    for baseline in (None, Baseline.empty("zoo:x", OLD)):
        entry = compared(record(draws(1.0)), baseline, NEW, strict=strict)
        assert entry is not None
        assert (entry["status"], entry["fails"]) == ("missing", strict)
        assert "--interp-baseline=new" in entry["reason"]


def test_what_measures_nothing_is_left_out() -> None:
    assert compared(record(None), None, NEW, strict=True) is None
    assert compared(record(draws(1.0), check="drift/output"), None, NEW, strict=True) is None


def test_other_parameters_are_another_check() -> None:
    entry = against(record(draws(1.0)), record(draws(0.0), parameters={"n": "8"}))
    assert (entry["status"], entry["key"]) == ("missing", "suite/check[n=8]")


def test_an_update_says_what_it_changes() -> None:
    before = Baseline.empty("zoo:x", OLD).with_checks(OLD, {"suite/check": stored_of(record(draws(1.0)))})  # type: ignore[dict-item]
    entry = written(record(draws(0.5)), before, NEW)
    assert entry is not None
    assert (entry["status"], entry["verdict"], entry["fails"], entry["change"]) == ("updated", None, False, -0.5)
    fresh = written(record(draws(0.5)), None, NEW)
    assert fresh is not None
    assert (fresh["status"], fresh["before"], fresh["now"]) == ("new", None, 0.5)
    assert written(record(None), before, NEW) is None
