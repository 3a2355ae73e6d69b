"""Baselines are kept under names, never under paths, in files that stay in their folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interp_assert.records.baseline_names import baseline_name, file_name


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("zoo:gpt2", "zoo:gpt2"),
        ("zoo:gpt_neox@800", "zoo:gpt_neox"),
        ("org/name", "org/name"),
        ("org/name@step1000", "org/name"),
        ("gpt2", "gpt2"),
        ("tuned=./out/checkpoint-500", "tuned"),
        ("tuned=zoo:gpt2@800", "tuned"),
        ("tuned=org/name@main", "tuned"),
        ("tuned@500=./out/checkpoint-500", "tuned"),
        (" tuned@500=./out/checkpoint-500", "tuned"),
        (" zoo:gpt2 ", "zoo:gpt2"),
        ("./out/checkpoint-500", None),
        ("/models/a", None),
        ("~/models/a", None),
        ("../../etc/passwd", None),
        ("a/b/c", None),
    ],
)
def test_a_name_stays_the_same_from_one_checkpoint_to_the_next(id: str, name: str | None) -> None:
    assert baseline_name(id) == name


def test_a_folder_that_happens_to_have_the_name_of_a_repository_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert baseline_name("org/name") is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("zoo:gpt2", "zoo-gpt2.json"),
        ("zoo:gpt2-no-induction", "zoo-gpt2-no-induction.json"),
        ("org/name-1.3b", "org--name-1.3b.json"),
        ("tuned", "tuned.json"),
    ],
)
def test_usual_names_are_readable(name: str, file: str) -> None:
    assert file_name(name) == file


HOSTILE = (
    "../../etc/passwd",
    "..",
    ".",
    "",
    "/absolute",
    "a\\b",
    "C:\\windows",
    "CON",
    "nul.txt",
    "com1",
    "<script>alert(1)</script>",
    "a\x00b",
    "a\nb",
    "\x1b[31mred",
    "-rf",
    "~",
    "$HOME",
    "`id`",
    "org/name@main",
    "org/..",
    "ü",
    "模型",
    "\ud800",
    "x" * 500,
    "a" * 100 + "/b",
    "trailing.",
    "::error::x",
)


@given(st.text())
@example("zoo:gpt2")
def test_any_name_gives_a_file_in_its_folder(name: str) -> None:
    file = file_name(name)
    assert file.isascii()
    assert file.isprintable()
    assert PurePosixPath(file).name == PureWindowsPath(file).name == file
    assert ".." not in file
    assert file[0].isalnum() or file[0] in "_+"
    assert len(file) <= 120
    assert not PureWindowsPath(file).is_reserved()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_too(name: str) -> None:
    test_any_name_gives_a_file_in_its_folder.hypothesis.inner_test(name)  # type: ignore[attr-defined]


def test_different_names_have_different_files() -> None:
    names = [
        *HOSTILE,
        "org/name",
        "org--name",
        "org---name",
        "org-/-name",
        "zoo:gpt2",
        "zoo/gpt2",
        "zoo::gpt2",
        "a b",
        "a-b",
    ]
    assert len({file_name(name).lower() for name in names}) == len(names)
