"""Checkpoints: a folder as transformers' Trainer writes it stands for its steps, and names tell which step they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_assert.errors import ModelNotFound, UsageProblem
from interp_assert.models import load, parse_id
from interp_assert.models.sources.checkpoints import Checkpoint, checkpoint_of, in_order
from interp_assert.models.sources.ids import each_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three checkpoints, and what else a Trainer leaves beside them."""
    folder = tmp_path / "my rün"
    for name in ("checkpoint-1000", "checkpoint-64", "checkpoint-512", "runs", "checkpoint-best", "tmp-checkpoint-9"):
        (folder / name).mkdir(parents=True)
    (folder / "checkpoint-7").touch()
    monkeypatch.chdir(tmp_path)
    return folder


class TestFolder:
    def test_it_stands_for_its_steps_in_their_order(self, folder: Path) -> None:
        steps = tuple(f"{folder}/checkpoint-{step}" for step in (64, 512, 1000))
        assert each_of(str(folder)) == each_of(f"{folder}/") == each_of(f"{folder}@all") == steps
        assert each_of("my rün") == tuple(f"my rün/checkpoint-{step}" for step in (64, 512, 1000))

    def test_a_name_for_the_folder_names_its_steps(self, folder: Path) -> None:
        steps = each_of("mine=my rün")
        assert steps == tuple(f"mine@{step}=my rün/checkpoint-{step}" for step in (64, 512, 1000))
        assert [parse_id(step).id for step in steps] == ["mine@64", "mine@512", "mine@1000"]
        assert parse_id(steps[0]).target == "my rün/checkpoint-64"

    def test_a_folder_with_a_model_of_its_own_is_that_model_unless_all_is_said(self, folder: Path) -> None:
        (folder / "config.json").touch()
        assert each_of("my rün") == ("my rün",)
        assert each_of("mine=my rün") == ("mine=my rün",)
        assert len(each_of("my rün@all")) == len(each_of("mine=my rün@all")) == 3

    def test_a_folder_that_is_called_so_is_no_list(self, folder: Path) -> None:
        (folder.parent / "x@all").mkdir()
        (folder.parent / "x").mkdir()
        assert each_of("x@all") == ("x@all",)

    @pytest.mark.parametrize(
        ("id", "error", "words"),
        [
            ("empty@all", ModelNotFound, r"no directory checkpoint-\* lies in empty"),
            ("mine@5=my rün", UsageProblem, "gives one step to 3 checkpoints; write mine="),
        ],
    )
    def test_what_cannot_be_listed(self, folder: Path, id: str, error: type[Exception], words: str) -> None:
        (folder.parent / "empty").mkdir()
        with pytest.raises(error, match=words):
            each_of(id)

    def test_loading_the_folder_itself_says_what_it_holds(self, folder: Path) -> None:
        with pytest.raises(ModelNotFound, match=r"it holds checkpoint-100.*one model at a time: .*/checkpoint-1000"):
            load(str(folder))

    def test_a_checkpoint_that_was_not_written_to_the_end_is_named(self, folder: Path) -> None:
        with pytest.raises(ModelNotFound, match=r"checkpoint-64 has no config\.json"):
            load(each_of(str(folder))[0])


@pytest.mark.parametrize(
    ("name", "training", "step"),
    [
        ("org/m@step512", "org/m", "step512"),
        ("zoo:gpt_neox@800", "zoo:gpt_neox", "800"),
        ("./run/checkpoint-500", "./run", "500"),
        ("/a/b@c/checkpoint-500/", "/a/b@c", "500"),
        ("checkpoint-500", ".", "500"),
        ("mine@500", "mine", "500"),
    ],
)
def test_a_name_tells_the_step(name: str, training: str, step: str) -> None:
    assert checkpoint_of(name) == Checkpoint(training, step)


@pytest.mark.parametrize("name", ["zoo:gpt2", "org/m", "./run", "/a@b/c", "@5", "x@", "./checkpoint-best", ""])
def test_a_name_that_tells_no_step(name: str) -> None:
    assert checkpoint_of(name) is None


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["step1000", "step64", "step512"], ["step64", "step512", "step1000"]),
        (["stage1-step9-tokens2B", "stage1-step10-tokens1B"], ["stage1-step9-tokens2B", "stage1-step10-tokens1B"]),
        (["stage2-step1", "stage1-step5"], ["stage1-step5", "stage2-step1"]),
        (["main", "step5", "step1"], ["main", "step5", "step1"]),
        (["5", "5", "1"], ["1", "5"]),
    ],
)
def test_steps_are_ordered_by_their_numbers_where_nothing_else_differs(given: list[str], ordered: list[str]) -> None:
    assert in_order(given) == ordered
