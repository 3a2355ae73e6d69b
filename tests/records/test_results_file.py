"""The results file: one schema, written whole or not at all, checked when it is read."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.records import SCHEMA, Results, read_results, write_results
from interp_assert.stats import ControlResult, Cost, ErrorLevels, Outcome, Verdict

MEASURED = {
    "verdict": "PASS",
    "estimate": 0.9,
    "interval": [0.8, None],
    "n": 34,
    "threshold": 0.05,
    "details": {"a": [1]},
}

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "run": {"versions": {"torch": "2.13"}, "platform": "Linux", "seed": 0, "started": "2026-01-01", "seconds": 1.5},
    "models": [
        {
            "id": "zoo:gpt2",
            "revision": None,
            "sha256": "ab",
            "architecture": "gpt2",
            "parameters": 392000,
            "dtype": "float32",
            "device": "cpu",
            "threads": 1,
        }
    ],
    "checks": [
        {
            "check": "circuits/induction",
            "model": "zoo:gpt2",
            **MEASURED,
            "controls": [{"name": "unrepeated", **MEASURED}],
            "forward_passes": 3,
            "tokens": 1200,
            "seconds": 0.5,
        }
    ],
}


@pytest.fixture
def results() -> Results:
    return Results.from_dict(copy.deepcopy(DOCUMENT))


class TestReadingBack:
    def test_what_is_written_is_what_is_read(self, results: Results, tmp_path: Path) -> None:
        write_results(results, tmp_path / "r.json")
        assert read_results(tmp_path / "r.json") == results
        assert json.loads((tmp_path / "r.json").read_text()) == DOCUMENT
        assert SCHEMA == 1

    def test_a_verdict_is_an_entry(self) -> None:
        control = ControlResult("twins", Outcome.INCONCLUSIVE, None, (0.0, float("inf")), None, 0)
        verdict = Verdict(
            check="circuits/induction",
            outcome=Outcome.INCONCLUSIVE,
            model="zoo:gpt2",
            layer=None,
            claim="it copies",
            estimate=None,
            interval=None,
            n=0,
            threshold=None,
            direction="higher",
            levels=ErrorLevels(),
            controls=(control,),
            details={},
            cost=Cost(),
        )
        assert Results(DOCUMENT["run"], (), (verdict.as_dict(),)).checks[0]["verdict"] == "INCONCLUSIVE"


class TestWritingInOnePiece:
    def test_a_reader_never_sees_half_a_file(
        self, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "r.json"
        target.write_text("old")
        seen = []
        monkeypatch.setattr(os, "fsync", lambda _: seen.append(target.read_text()))
        write_results(results, target)
        assert seen == ["old"]
        assert read_results(target) == results
        assert [path.name for path in tmp_path.iterdir()] == ["r.json"]

    def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
        self, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "r.json"
        target.write_text("old")
        broken = Results({**results.run, "seconds": float("nan")}, (), ())
        with pytest.raises(ValueError, match="Out of range float"):
            write_results(broken, target)

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_results(results, target)
        assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
        assert target.read_text() == "old"

    def test_only_ordinary_files_are_replaced(self, results: Results, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="no ordinary file"):
            write_results(results, tmp_path / "pipe")
        assert (tmp_path / "pipe").is_fifo()
        (tmp_path / "target.json").write_text("old")
        (tmp_path / "link.json").symlink_to("target.json")
        write_results(results, tmp_path / "link.json")
        assert (tmp_path / "link.json").is_symlink()
        assert read_results(tmp_path / "target.json") == results

    def test_permissions_are_those_of_any_new_file(self, results: Results, tmp_path: Path) -> None:
        write_results(results, tmp_path / "r.json")
        (tmp_path / "other").touch()
        assert (tmp_path / "r.json").stat().st_mode == (tmp_path / "other").stat().st_mode


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            (["schema"], 2, "schema 2 is not 1, the one that this version reads; update interp-assert"),
            (["schema"], 0, "schema 0 is not 1, the one that this version reads; run the tests again"),
            (["schema"], True, "schema True is not 1"),
            (["checks", 0, "interval"], [True, None], r"checks\[0\].interval is \[True, None\], not"),
            (["checks"], None, "checks is missing or not a list"),
            (["run", "seed"], "0", "run.seed is '0', not int"),
            (["run", "seed"], True, "run.seed is True, not int"),
            (["models", 0, "sha256"], None, r"models\[0\].sha256 is None, not str"),
            (["models", 0], "zoo:gpt2", r"models\[0\] is a str, not an object"),
            (["checks", 0, "verdict"], "pass", r"checks\[0\].verdict is 'pass', not one of PASS, FAIL"),
            (["checks", 0, "interval"], [1], r"checks\[0\].interval is \[1\], not \[low, high\]"),
            (["checks", 0, "estimate"], "high", r"checks\[0\].estimate is 'high', not int or float or null"),
            (["checks", 0, "controls", 0, "verdict"], "?", r"checks\[0\].controls\[0\].verdict is '\?'"),
        ],
    )
    def test_names_the_file_and_the_place(self, tmp_path: Path, path: list[Any], value: Any, said: str) -> None:
        document: Any = copy.deepcopy(DOCUMENT)
        *above, last = path
        entry = document
        for key in above:
            entry = entry[key]
        entry[last] = value
        (tmp_path / "r.json").write_text(json.dumps(document))
        with pytest.raises(UsageProblem, match=f"r.json: {said}"):
            read_results(tmp_path / "r.json")

    @pytest.mark.parametrize("key", ["check", "controls", "tokens", "details"])
    def test_a_missing_key(self, key: str) -> None:
        document: Any = copy.deepcopy(DOCUMENT)
        del document["checks"][0][key]
        with pytest.raises(UsageProblem, match=rf"checks\[0\] has no '{key}'"):
            Results.from_dict(document)

    def test_what_is_no_results_file_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(UsageProblem, match=r"gone.json: cannot be read: No such file"):
            read_results(tmp_path / "gone.json")
        (tmp_path / "half.json").write_text('{"schema": 1, "run"')
        with pytest.raises(UsageProblem, match=r"half.json: is not JSON"):
            read_results(tmp_path / "half.json")
        (tmp_path / "nan.json").write_text('{"schema": 1, "run": {"seconds": NaN}}')
        with pytest.raises(UsageProblem, match=r"nan.json: is not JSON: NaN is no number of JSON"):
            read_results(tmp_path / "nan.json")
        (tmp_path / "deep.json").write_text("[" * 100_000)
        with pytest.raises(UsageProblem, match=r"deep.json: is nested too deeply"):
            read_results(tmp_path / "deep.json")
        (tmp_path / "list.json").write_text("[]")
        with pytest.raises(UsageProblem, match=r"list.json: a results document is a JSON object, not list"):
            read_results(tmp_path / "list.json")


class TestProfiles:
    PROFILE: dict[str, Any] = {  # noqa: RUF012
        "model": "zoo:gpt2",
        "clusters": 128,
        "seed": 0,
        "level": 0.95,
        "base": None,
        "figures": [
            {
                "measure": "circuits/induction",
                "quantity": "induction",
                "value": 0.9,
                "interval": [0.8, None],
                "n": 128,
                "unit": "share",
                "note": "",
                "approximate": False,
                "missing": "",
                "broken": False,
                "details": {},
            }
        ],
        "costs": {},
    }

    def test_are_read_back_and_left_out_where_there_are_none(self, tmp_path: Path) -> None:
        document = {**copy.deepcopy(DOCUMENT), "profiles": [self.PROFILE]}
        results = Results.from_dict(document)
        write_results(results, tmp_path / "r.json")
        assert read_results(tmp_path / "r.json").profiles == (self.PROFILE,)
        assert "profiles" not in Results.from_dict(copy.deepcopy(DOCUMENT)).as_dict()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"value": "much"}, r"profiles\[0\].figures\[0\].value is 'much'"),
            ({"interval": [1]}, r"profiles\[0\].figures\[0\].interval is \[1\], not \[low, high\]"),
            ({"broken": None}, r"profiles\[0\].figures\[0\].broken is None, not bool"),
        ],
    )
    def test_that_do_not_follow_the_schema_are_named(self, changes: dict[str, Any], said: str) -> None:
        profile = {**self.PROFILE, "figures": [{**self.PROFILE["figures"][0], **changes}]}
        with pytest.raises(UsageProblem, match=said):
            Results.from_dict({**copy.deepcopy(DOCUMENT), "profiles": [profile]})
