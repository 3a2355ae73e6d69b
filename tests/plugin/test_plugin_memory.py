"""What was measured once is not measured again: second runs make no forward pass, and trust nobody else's results."""

from __future__ import annotations

import os
import shutil

import pytest
from known_runs import Known

GOOD, BAD = [1.0, 0.9], [0.0, 0.1]


@pytest.fixture
def known(known: Known) -> Known:
    known.say(**{"zoo:alpha": {"weights": "a", "scores": GOOD}, "tuned": {"weights": "b", "scores": BAD}})
    return known


class TestASecondRun:
    def test_it_makes_no_pass_says_so_and_changes_no_verdict(self, known: Known) -> None:
        first = known.run()
        first.stdout.no_fnmatch_line("*measured before*")
        before = known.results
        assert known.passes() == ["open zoo:alpha", "pass zoo:alpha", "open tuned", "pass tuned"]
        second = known.run()
        assert known.passes() == []
        second.stdout.fnmatch_lines(
            ["interp: 2 of 2 claims were measured before by this machine*: no model was opened and no forward *"]
        )
        after = known.results
        assert after.run["remembered"] == {"claims": 2, "of": 2, "opened": [], "distrusted": 0, "not_kept": []}
        assert [check["verdict"] for check in after.checks] == ["PASS", "FAIL"]
        for old, new in zip(before.checks, after.checks, strict=True):
            assert (new["forward_passes"], new["tokens"]) == (0, 0)
            assert new["remembered"] == {key: old[key] for key in ("forward_passes", "tokens", "seconds")}
            spent = ("forward_passes", "tokens", "seconds", "remembered")
            assert {k: v for k, v in new.items() if k not in spent} == {k: v for k, v in old.items() if k not in spent}
        assert before.models == after.models

    def test_with_xdist_too(self, known: Known) -> None:
        known.run()
        before = known.results
        known.passes()
        known.run("-n2").stdout.fnmatch_lines(["interp: 2 of 2 claims were measured before*"])
        assert known.passes() == []
        assert [check["verdict"] for check in known.results.checks] == [check["verdict"] for check in before.checks]

    @pytest.mark.parametrize("change", ["--interp-seed=1", "--interp-budget=quick", "--interp-alpha-fail=0.0001"])
    def test_other_settings_are_measured(self, known: Known, change: str) -> None:
        known.run()
        known.passes()
        known.run(change)
        assert [line for line in known.passes() if "pass" in line] == ["pass zoo:alpha", "pass tuned"]

    def test_other_weights_are_measured_and_the_same_ones_are_not(self, known: Known) -> None:
        known.run()
        known.passes()
        known.say(**{"zoo:alpha": {"weights": "a", "scores": GOOD}, "tuned": {"weights": "c", "scores": GOOD}})
        known.run(status=0)
        assert known.passes() == ["open tuned", "pass tuned"]
        assert [check["verdict"] for check in known.results.checks] == ["PASS", "PASS"]

    def test_a_test_that_needs_more_opens_the_model_after_all(self, known: Known) -> None:
        known.run()
        known.passes()
        known.pytester.makepyfile(test_mine="def test_mine(interp_model): assert interp_model.module is not None")
        known.run("test_mine.py", "interp::known")
        assert known.passes() == ["open zoo:alpha", "open tuned"]
        assert known.results.run["remembered"]["opened"] == ["tuned", "zoo:alpha"]

    def test_all_is_measured_where_that_is_asked_for(self, known: Known) -> None:
        known.run()
        known.passes()
        kept = {path: path.read_bytes() for path in known.entries}
        for arguments in (("--interp-no-cache",), ("-p", "no:cacheprovider")):
            known.run(*arguments).stdout.no_fnmatch_line("*measured before*")
            assert len(known.passes()) == 4
        assert {path: path.read_bytes() for path in known.entries} == kept


class TestWhomItTrusts:
    def test_a_cache_of_another_machine_cannot_forge_a_pass(
        self, known: Known, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(known.path / "elsewhere"))
        known.say(**{"zoo:alpha": {"weights": "a", "scores": GOOD}, "tuned": {"weights": "b", "scores": GOOD}})
        known.run(status=0)
        known.passes()
        monkeypatch.setenv("XDG_STATE_HOME", str(known.path / "state"))
        known.say(**{"zoo:alpha": {"weights": "a", "scores": GOOD}, "tuned": {"weights": "b", "scores": BAD}})
        result = known.run()
        assert len(known.passes()) == 4
        assert [check["verdict"] for check in known.results.checks] == ["PASS", "FAIL"]
        result.stdout.fnmatch_lines(
            ["interp: 4 entries of the cache, damaged or not written by this machine, not used"]
        )

    def test_an_entry_under_another_name_is_not_taken(self, known: Known) -> None:
        known.say(**{"zoo:alpha": {"weights": "a", "scores": GOOD}, "tuned": {"weights": "b", "scores": BAD}})
        known.run()
        known.passes()
        passed, failed = (
            next(path for path in known.entries if f'"$outcome":"{word}"'.encode() in path.read_bytes())
            for word in ("PASS", "FAIL")
        )
        shutil.copy(passed, failed)
        known.run()
        assert known.passes() == ["open tuned", "pass tuned"]
        assert [check["verdict"] for check in known.results.checks] == ["PASS", "FAIL"]

    def test_damaged_entries_are_measured_again_and_replaced(self, known: Known) -> None:
        known.run()
        known.passes()
        for path in known.entries:
            path.write_bytes(path.read_bytes()[:-20])
        known.run()
        assert len(known.passes()) == 4
        known.run()
        assert known.passes() == []

    def test_a_key_that_others_can_read_is_no_key(self, known: Known) -> None:
        known.run()
        known.passes()
        os.chmod(known.path / "state" / "interp-assert" / "cache.key", 0o644)
        result = known.run()
        assert len(known.passes()) == 4
        result.stdout.fnmatch_lines(["interp: measurements are not kept for the next run: *cache.key*delete it"])

    @pytest.mark.parametrize("broken", ["file", "link"])
    def test_a_cache_that_cannot_be_used_changes_nothing_else(self, known: Known, broken: str) -> None:
        folder = known.path / ".pytest_cache" / "d" / "interp"
        folder.parent.mkdir(parents=True)
        other = known.path / "precious"
        other.mkdir()
        if broken == "file":
            folder.write_text("in the way")
        else:
            folder.symlink_to(other)
        result = known.run()
        assert len(known.passes()) == 4
        result.stdout.fnmatch_lines(["interp: measurements are not kept for the next run: *"])
        assert list(other.iterdir()) == []
