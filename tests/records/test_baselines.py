"""The files of interp-baselines: what stands in them, who may write them, and what is refused."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.records.baselines import (
    Baseline,
    Stored,
    Weights,
    change_baseline,
    key_of,
    path_of,
    read_baseline,
    stored_of,
)

from .limits import full_disk, read_only

OLD, NEW = (Weights(sha256=letter * 64, revision=None, dtype="float32") for letter in "ab")


def stored(value: float = 0.5, n: int = 3, **given: Any) -> Stored:
    return Stored(
        **{
            "measurement": "a/b",
            "version": 1,
            "unit": "share",
            "direction": "higher",
            "lo": 0.0,
            "hi": 1.0,
            "digits": 6,
            "budget": 128,
            "seed": 0,
            "population": None,
            "weights": None,
            "values": {f"k/{i}": value for i in range(n)},
        }
        | given
    )


def baseline(**checks: Stored) -> Baseline:
    return Baseline.empty("zoo:x", OLD).with_checks(OLD, checks)


def keep(folder: Path, made: Baseline) -> Path:
    change_baseline(folder, made.model, lambda _: made)
    return path_of(folder, made.model)


class TestWhatStandsInIt:
    def test_it_reads_as_it_was_written_and_is_the_same_each_time(self, tmp_path: Path) -> None:
        made = baseline(**{"b/b[n=8]": stored(1 / 3), "a/a": stored(0.25, lo=None, hi=None)})
        path = keep(tmp_path / "interp-baselines", made)
        text = path.read_text(encoding="utf-8")
        assert read_baseline(path, "zoo:x") == made
        keep(tmp_path / "interp-baselines", made)
        assert path.read_text(encoding="utf-8") == text
        assert [entry.name for entry in path.parent.iterdir()] == ["zoo-x.json"]

    def test_its_layout_merges_line_by_line(self, tmp_path: Path) -> None:
        text = keep(
            tmp_path / "b", baseline(**{"a/ü": stored(0.5, 2, values={"Côte": 0.5, "<b>\x1b": 1.0})})
        ).read_text()
        document = json.loads(text)
        assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
        assert text.isascii()
        assert "\x1b" not in text
        assert {key: document[key] for key in ("schema", "model", "weights")} == {
            "schema": 1,
            "model": "zoo:x",
            "weights": {"sha256": "a" * 64, "revision": None, "dtype": "float32"},
        }
        values = {line.strip() for line in text.splitlines()} & {'"C\\u00f4te": 0.5', '"<b>\\u001b": 1.0,'}
        assert len(values) == 2

    def test_values_have_the_precision_that_it_states(self) -> None:
        record = {
            "check": "a/b",
            "asked": {"parameters": {}, "clusters": 128, "seed": 0},
            "population": 3,
            "measurements": [
                {
                    "name": "a/b", "version": 2, "unit": "u", "direction": "lower", "statistic": "mean", "lo": None,
                    "hi": 1.0, "clusters": ["x", "y", "z"], "values": [1 / 3, 1e-300, -123456789.0],
                },
                {"name": "another"},
            ],
        }  # fmt: skip
        made = stored_of(record)
        assert made is not None
        assert made.values == {"x": 0.333333, "y": 1e-300, "z": -123457000.0}
        assert (made.population, made.budget, made.version, made.digits, made.hi) == (3, 128, 2, 6, 1.0)

    @pytest.mark.parametrize("record", [{"check": "a/b"}, {"check": "a/b", "measurements": []}])
    def test_a_check_without_clusters_has_nothing_to_keep(self, record: dict[str, Any]) -> None:
        assert stored_of(record) is None

    @pytest.mark.parametrize(
        ("check", "parameters", "key"),
        [
            ("circuits/induction", {}, "circuits/induction"),
            ("circuits/induction", {"n": "8"}, "circuits/induction[n=8]"),
            (
                "controls/steering",
                {"target": "Europe,Asia", "data": "x"},
                "controls/steering[data=x,target=Europe,Asia]",
            ),
            ("probes/truth", {"data": "truth", "layer": "3"}, "probes/truth[layer=3]"),
            ("mine/score", {"measure": "mine/score"}, "mine/score"),
        ],
    )
    def test_the_key_is_the_check_with_its_parameters(self, check: str, parameters: dict[str, str], key: str) -> None:
        assert key_of({"check": check, "asked": {"parameters": parameters}}) == key

    def test_each_check_keeps_the_weights_that_it_was_measured_on(self) -> None:
        made = baseline(one=stored(), two=stored(), three=stored())
        some = made.with_checks(NEW, {"one": stored(0.6)})
        assert some.weights == OLD
        assert [some.weights_of(some.checks[name]) for name in ("one", "two")] == [NEW, OLD]
        most = some.with_checks(NEW, {"two": stored(0.6)})
        assert most.weights == NEW
        assert [most.weights_of(most.checks[name]) for name in ("one", "two", "three")] == [NEW, NEW, OLD]
        assert [check.weights is None for check in most.checks.values()] == [True, True, False]
        assert made.with_checks(NEW, made.checks).weights == NEW


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ('"schema": 1', '"schema": 2', "schema"),
            ('"seed": 0', '"seed": "0"', "seed"),
            ('"unit": "share"', '"unit": "share", "unit": "s"', "'unit' occurs twice"),
            ('"unit": "share"', '"unit": "share", "extra": 1', "extra"),
            ('"k/0": 0.5', '"k/0": NaN', "NaN"),
            ('"k/0": 0.5', '"k/0": 1e999', "finite"),
            ('"k/0": 0.5', '"k/0": 7', "outside"),
            ('"k/0": 0.5', '"k/0": null', "valid number"),
            ('"version": 1,\n', "", "version"),
            ('"' + "a" * 64, '"../../x', "sha256"),
            ("}", "", "JSON"),
        ],
    )
    def test_a_damaged_file_is_one_clean_line(self, tmp_path: Path, old: str, new: str, told: str) -> None:
        path = keep(tmp_path / "b", baseline(**{"a/b": stored()}))
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(UsageProblem) as refused:
            read_baseline(path, "zoo:x")
        message = str(refused.value)
        assert message.startswith(str(path))
        assert told in message
        assert "--interp-baseline=new" in message
        assert "\n" not in message

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"a": ' * 5000])
    def test_so_is_what_is_no_baseline_at_all(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(UsageProblem, match=r"x\.json"):
            read_baseline(tmp_path / "x.json", "zoo:x")

    def test_the_file_of_another_model(self, tmp_path: Path) -> None:
        path = keep(tmp_path / "b", baseline())
        with pytest.raises(UsageProblem, match="is the baseline of 'zoo:x', not of 'zoo-x'"):
            read_baseline(path, "zoo-x")
        with pytest.raises(UsageProblem, match="not of 'zoo-x'"):
            change_baseline(tmp_path / "b", "zoo-x", lambda _: baseline())

    def test_a_link_is_neither_read_nor_written_through(self, tmp_path: Path) -> None:
        folder = tmp_path / "b"
        path = keep(folder, baseline(**{"a/b": stored()}))
        outside = tmp_path / "outside.json"
        os.replace(path, outside)
        path.symlink_to(outside)
        before = outside.read_bytes()
        with pytest.raises(UsageProblem):
            read_baseline(path, "zoo:x")
        with pytest.raises(UsageProblem):
            keep(folder, baseline())
        linked = tmp_path / "linked"
        linked.symlink_to(folder)
        with pytest.raises(UsageProblem, match="symbolic link"):
            keep(linked, baseline())
        assert outside.read_bytes() == before


def keep_changing(folder: Path, which: int, values: int) -> None:
    for k in range(10**9):
        change_baseline(
            folder,
            "zoo:x",
            lambda old, k=k: (old or baseline()).with_checks(OLD, {f"w/{which}": stored((k % 10) / 10, values)}),  # type: ignore[misc]
        )


class TestWhatHappensMeanwhile:
    def test_changes_at_once_are_all_kept(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")

        def add(which: int) -> None:
            for k in range(10):
                change_baseline(
                    tmp_path / "b",
                    "zoo:x",
                    lambda old: (old or baseline()).with_checks(OLD, {f"w/{which}.{k}": stored()}),  # noqa: B023
                )

        writers = [context.Process(target=add, args=(which,)) for which in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        made = read_baseline(path_of(tmp_path / "b", "zoo:x"), "zoo:x")
        assert made is not None
        assert set(made.checks) == {f"w/{which}.{k}" for which in range(4) for k in range(10)}
        assert len(list((tmp_path / "b").iterdir())) == 1

    def test_writers_that_are_killed_leave_a_whole_file(self, tmp_path: Path) -> None:
        folder = tmp_path / "b"
        path = keep(folder, baseline(**{"old/check": stored(0.7)}))
        context = multiprocessing.get_context("fork")
        for attempt in range(3):
            writers = [context.Process(target=keep_changing, args=(folder, which, 300)) for which in range(2)]
            for writer in writers:
                writer.start()
            time.sleep(0.2 + 0.03 * attempt)
            for writer in writers:
                os.kill(writer.pid or 0, signal.SIGKILL)
            for writer in writers:
                writer.join()
            made = read_baseline(path, "zoo:x")
            assert made is not None
            assert made.checks["old/check"] == stored(0.7)
        keep(folder, made)
        assert [entry.name for entry in folder.iterdir()] == ["zoo-x.json"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_full_disk_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        path = keep(tmp_path / "b", baseline(**{"a/b": stored()}))
        before = path.read_bytes()

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(OSError, match="No space left"):
                keep(tmp_path / "b", baseline())
        assert path.read_bytes() == before
        assert [entry.name for entry in path.parent.iterdir()] == ["zoo-x.json"]

    def test_a_disk_that_is_full_in_the_midst_of_a_file_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = keep(tmp_path / "b", baseline(**{"a/b": stored()}))
        before = path.read_bytes()
        with full_disk(), pytest.raises(OSError, match="File too large"):
            keep(tmp_path / "b", baseline(**{"a/b": stored(0.7, 500)}))
        assert path.read_bytes() == before
        assert [entry.name for entry in path.parent.iterdir()] == ["zoo-x.json"]

    def test_a_folder_that_cannot_be_written_is_read_and_stays_as_it_is(self, tmp_path: Path) -> None:
        made = baseline(**{"a/b": stored()})
        path = keep(tmp_path / "b", made)
        with read_only(path.parent) as folder:
            assert read_baseline(path_of(folder, "zoo:x"), "zoo:x") == made
            with pytest.raises(PermissionError):
                keep(folder, baseline())
            assert path_of(folder, "zoo:x").read_text() == made.text()


WRITES = """
import sys
from pathlib import Path
from records.test_baselines import baseline, keep, stored
from interp_assert.records.cache import EntryStore

folder = Path(sys.argv[1])
made = baseline(**{"a/ü": stored(values={"Côte d'Ivoire": 0.5})})
keep(folder / "interp-baselines", made)
store = EntryStore(folder, b"k" * 32)
store.put("ü", made.model)
assert store.get("ü") == "zoo:x"
"""


def test_folders_and_clusters_in_any_script_under_any_locale(tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner mit Ümlaut 模型"
    folder.mkdir()
    (tmp_path / "writes.py").write_text(WRITES, encoding="utf-8")
    locale = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, str(tmp_path / "writes.py"), str(folder)],
        env={**os.environ, **locale, "PYTHONPATH": paths},
        check=True,
    )
    made = read_baseline(folder / "interp-baselines" / "zoo-x.json", "zoo:x")
    assert made is not None
    assert made.checks["a/ü"].values == {"Côte d'Ivoire": 0.5}
