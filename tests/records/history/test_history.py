"""What stands in a history: each verdict once, whatever is done again; and what no history is made of."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.records.history import Appended, History, append, known_models, open_history, read_claims
from interp_assert.stats import Outcome

from .made import check, measured, model, results


@pytest.fixture
def history(tmp_path: Path) -> History:
    return open_history(tmp_path / "h.sqlite")


def put(history: History, check_: dict[str, Any], model_: dict[str, Any] | None = None, **more: Any) -> Appended:
    values = [more.pop("measured")] if "measured" in more else []
    run = more.pop("run", None)
    return append(history, results((model_ or model(check_["model"]), check_), run=run), [values], kind="track", **more)


@contextmanager
def without_special_rights() -> Iterator[None]:
    """Root may write everywhere: be somebody else for a while."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


TWINS = {
    "name": "random_weights", "verdict": "PASS", "estimate": 0.1, "interval": None, "n": 5, "threshold": None,
    "details": {"scheme": "resample", "twins": 5},
}  # fmt: skip


class TestTheSameAgain:
    def test_a_verdict_is_written_once_and_each_run_counted(self, history: History) -> None:
        values = measured([0.0, 1 / 3, 1.0])
        assert put(history, check("a/b", "m"), measured=values) == Appended(1, 0, 0)
        assert put(history, check("a/b", "m"), measured=values) == Appended(0, 1, 0)
        [claim] = read_claims(history, "m")
        [point] = claim.points
        assert (point.runs, point.first[0], point.last[0]) == (2, 1, 2)
        assert point.measured is not None
        assert point.measured.values.tolist() == [0.0, 1 / 3, 1.0]
        assert point.measured.clusters == tuple(values["clusters"])

    def test_the_same_run_is_appended_once(self, history: History) -> None:
        for _ in range(2):
            put(history, check("a/b", "m"), id="x")
        assert read_claims(history, "m")[0].points[0].runs == 1

    def test_equal_weights_under_two_names_are_one_verdict(self, history: History) -> None:
        put(history, check("a/b", "m"), model("m", "same"))
        assert put(history, check("a/b", "copy"), model("copy", "same")) == Appended(0, 1, 0)
        assert [len(read_claims(history, name)[0].points) for name in ("m", "copy")] == [1, 1]

    @pytest.mark.parametrize(
        "other",
        [
            {"model_": model("m", "other weights")},
            {"model_": model("m", dtype="bfloat16")},
            {"more": {"threshold": 0.5}},
            {"more": {"details": {"seed": 1, "n": 20}}},
            {"more": {"details": {"seed": 0, "n": 10}}},
            {"more": {"levels": {"pass": 0.001, "fail": 0.001, "control": 0.01}}},
            {"more": {"details": {"seed": 0, "n": 20, "base": {"sha256": "b"}}}},
            {"more": {"asked": {"parameters": {"data": "other"}}}},
            {"more": {"controls": [TWINS]}},
            {"measured": {"version": 2}},
            {"measured": {"clusters": ["x", "y"]}},
        ],
        ids=lambda other: "-".join(map(str, other)),
    )
    def test_another_question_is_another_verdict(self, history: History, other: dict[str, Any]) -> None:
        put(history, check("a/b", "m"), measured=measured([0.5, 0.5]))
        again = put(
            history,
            check("a/b", "m", **other.get("more", {})),
            other.get("model_"),
            measured=measured([0.5, 0.5], **other.get("measured", {})),
        )
        assert again == Appended(1, 0, 0)

    def test_other_twins_are_another_control(self, history: History) -> None:
        more = {**TWINS, "details": {"scheme": "resample", "twins": 9}}
        assert [put(history, check("a/b", "m", controls=[twins])).new for twins in (TWINS, more, TWINS)] == [1, 1, 0]

    def test_a_base_is_its_weights_whatever_its_name(self, history: History) -> None:
        details = {"seed": 0, "base": {"sha256": "b"}}
        asked = ({"parameters": {"base": name}} for name in ("org/base", "./base"))
        assert [put(history, check("a/b", "m", details=details, asked=a)).new for a in asked] == [1, 0]

    def test_verdicts_without_weights_of_their_own_are_left_out(self, history: History) -> None:
        assert put(history, check("a/b", "wrapped"), model("m")) == Appended(0, 0, 1)
        assert put(history, check("a/b", "m"), model("m", changed="model.safetensors")) == Appended(0, 0, 1)


class TestReading:
    def test_steps_stand_in_their_order_and_tell_where_a_claim_begins_to_hold(self, history: History) -> None:
        for step, verdict in ((800, "FAIL"), (1600, "PASS"), (100, "FAIL"), (3200, "PASS")):
            put(history, check("a/b", f"org/m@step{step}", verdict))
        [claim] = read_claims(history, "org/m")
        assert [point.step for point in claim.points] == ["step100", "step800", "step1600", "step3200"]
        over = claim.over_steps()
        assert over is not None
        assert (over.shown.first_holds, over.shown.last_before) == ("step1600", "step800")
        assert [len(read_claims(history, name)[0].points) for name in ("org/m@step800", "org/m")] == [1, 4]

    def test_of_a_step_that_was_trained_anew_the_last_counts(self, history: History) -> None:
        for weights, verdict in (("first", "FAIL"), ("second", "PASS")):
            for step in (1, 2):
                put(history, check("a/b", f"m@{step}", verdict), model(f"m@{step}", f"{weights} {step}"))
        [claim] = read_claims(history, "m")
        over = claim.over_steps()
        assert len(claim.points) == 4
        assert over is not None
        assert over.shown.outcomes == (Outcome.PASS, Outcome.PASS)

    def test_runs_are_ordered_by_their_appending_whatever_the_clock_says(self, history: History) -> None:
        for started, weights in (("2030-01-01T00:00:00+00:00", "a"), ("1970-01-01T00:00:00+00:00", "b")):
            put(history, check("a/b", "m"), model("m", weights), run={"started": started})
        [claim] = read_claims(history, "m")
        assert [point.first[1][:4] for point in claim.points] == ["2030", "1970"]

    def test_what_it_knows(self, history: History) -> None:
        for name in ("m@1", "m@2", "other", "other"):
            put(history, check("a/b", name))
        assert known_models(history) == {"m": 2, "other": 2}
        with pytest.raises(UsageProblem, match="nothing is known of 'x'; the history has m, other"):
            read_claims(history, "x")
        with pytest.raises(UsageProblem, match="no claim 'x' about 'm'; there are a/b"):
            read_claims(history, "m", "x")

    @pytest.mark.parametrize(
        "name", ["../../m", "org/m@v1.0", "'; drop table interp_runs; --", "\x1b[31m<b>::error", "ü"]
    )
    def test_any_name_is_only_a_name(self, history: History, name: str) -> None:
        put(history, check("a/b", name))
        assert read_claims(history, name)[0].points[0].model == name

    def test_a_name_of_bytes_that_are_no_text_is_escaped(self, history: History) -> None:
        name = os.fsdecode(b"./m\xff")
        put(history, check("a/b", name))
        assert list(known_models(history)) == ["./m\\udcff"]


MADE = "create table interp_schema (version integer)"


class TestWhatIsNoHistory:
    def test_other_databases_are_refused_without_showing_a_password(self) -> None:
        for url, words in (
            ("postgresql://me:secret@host/db", r"postgresql://me:\*\*\*@host/db: a history is a SQLite file so far"),
            ("sqlite://", "write sqlite:///path"),
            ("sqlite:///:memory:", "write sqlite:///path"),
            ("sqlite:///h.db?mode=ro", "write sqlite:///path"),
            ("://", "no URL"),
            ("x://h:port/", "no URL"),
            (" ", "names no file"),
        ):
            with pytest.raises(UsageProblem, match=words):
                open_history(url)

    def test_paths_and_urls(self, tmp_path: Path) -> None:
        assert open_history("sqlite:///a b/h.db", tmp_path).path == tmp_path / "a b" / "h.db"
        assert open_history(f"sqlite:///{tmp_path}/h.db").path == open_history(tmp_path / "h.db").path

    def test_reading_makes_no_file(self, history: History) -> None:
        with pytest.raises(UsageProblem, match="no history yet"):
            known_models(history)
        assert not history.path.exists()

    def test_the_default_folder_keeps_itself_out_of_git(self, tmp_path: Path) -> None:
        history = open_history(".interp-history/history.sqlite", tmp_path)
        history.prove_writable()
        assert (tmp_path / ".interp-history" / ".gitignore").read_text() == "*\n"
        open_history("mine/h.sqlite", tmp_path).prove_writable()
        assert os.listdir(tmp_path / "mine") == ["h.sqlite"]

    @pytest.mark.parametrize(
        ("statements", "words"),
        [
            (["create table mine (x)"], "no history of interp-assert"),
            ([MADE, "insert into interp_schema values (99)"], "schema 99, .* a newer version .* update interp-assert"),
            ([MADE, "insert into interp_schema values (0)"], "schema 0, .* an older version .* read it with that one"),
            ([MADE, "insert into interp_schema values (1), (2)"], "schema 1, 2, .* it is damaged"),
            ([MADE], "schema unknown, .* it is damaged"),
        ],
    )
    def test_other_tables_and_other_schemas_are_left_alone(
        self, history: History, statements: list[str], words: str
    ) -> None:
        with sqlite3.connect(history.path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        before = history.path.read_bytes()
        for use in (lambda: put(history, check("a/b", "m")), lambda: known_models(history)):
            with pytest.raises(UsageProblem, match=words):
                use()
        assert history.path.read_bytes() == before

    def test_files_that_are_no_database(self, history: History) -> None:
        history.path.write_text("no database " * 100)
        for use in (lambda: put(history, check("a/b", "m")), lambda: known_models(history)):
            with pytest.raises(UsageProblem, match=r"not a database.*another kind of file"):
                use()
        assert history.path.read_text() == "no database " * 100

    def test_a_folder_that_cannot_be_made_or_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageProblem, match="its folder cannot be made"):
            open_history("file/x/h.sqlite", tmp_path).prove_writable()
        with pytest.raises(UsageProblem, match="cannot be opened"):
            open_history(tmp_path).prove_writable()

    def test_a_folder_that_cannot_be_written_can_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            history = open_history("h.sqlite", Path(folder))
            put(history, check("a/b", "m"))
            history.path.chmod(0o444)
            Path(folder).chmod(0o555)
            with without_special_rights():
                assert known_models(history) == {"m": 1}
                with pytest.raises(UsageProblem, match="cannot be written"):
                    put(history, check("a/b", "n"))
                with pytest.raises(UsageProblem, match="cannot be opened"):
                    open_history("other.sqlite", Path(folder)).prove_writable()
            Path(folder).chmod(0o755)
            assert os.listdir(folder) == ["h.sqlite"]


class TestWhenItCannotBeWritten:
    def test_a_full_disk_leaves_what_was_there(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        put(history, check("a/b", "m"))
        ids = {"clusters": [os.urandom(2000).hex() for _ in range(100)]}
        made = history._make_tables

        def on_a_small_disk(connection: Any) -> None:
            made(connection)
            pages = connection.exec_driver_sql("pragma page_count").scalar()
            connection.exec_driver_sql(f"pragma max_page_count = {pages + 2}")

        monkeypatch.setattr(history, "_make_tables", on_a_small_disk)
        with pytest.raises(
            UsageProblem, match="full: there is no room on the disk; what was there before is unchanged"
        ):
            put(history, check("a/b", "n"), measured=measured([0.5] * 100, **ids))
        monkeypatch.undo()
        assert known_models(history) == {"m": 1}
        assert put(history, check("a/b", "n"), measured=measured([0.5] * 100, **ids)) == Appended(1, 0, 0)

    def test_a_run_that_breaks_off_inside_leaves_nothing(self, history: History) -> None:
        with pytest.raises(KeyError):
            put(history, check("a/b", "m"), measured={"name": "incomplete", "clusters": [], "version": 1})
        with pytest.raises(UsageProblem, match="no history yet"):
            read_claims(history, "m")

    def test_who_waits_too_long_for_the_others_says_so(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        from interp_assert.records.history import database

        history.prove_writable()
        monkeypatch.setattr(database, "_WAIT", 0.1)
        impatient = open_history(history.path)
        with history.writing(), pytest.raises(UsageProblem, match="locked: another process has been writing"):
            put(impatient, check("a/b", "m"))
        assert put(impatient, check("a/b", "m")) == Appended(1, 0, 0)


def test_naming_a_history_imports_neither_torch_nor_numpy_nor_sqlalchemy() -> None:
    code = (
        "import sys; from interp_assert.records.history import open_history; open_history; "
        "print([m for m in ('torch', 'numpy', 'sqlalchemy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
