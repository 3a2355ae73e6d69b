"""The callback in real short trainings by ``transformers.Trainer``: of a recipe of the zoo, of a model that forgets."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gpt2
from records.schema import departures
from torch.utils.data import Dataset

from interp_assert import InterpCallback, Model, Verdict, assert_induction, load
from interp_assert.assertions.catalogue import ask
from interp_assert.errors import UsageProblem
from interp_assert.models.sources.ids import each_of
from interp_assert.models.weights.lending import copies_well
from interp_assert.records import trainings
from interp_assert.records.history import open_history, read_claims
from interp_assert.reports import step_lines
from interp_assert.stats import Outcome

pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate (interp-assert[large])")
from transformers import Trainer, TrainerCallback, TrainingArguments


class Rows(Dataset[dict[str, torch.Tensor]]):
    """Rows of ids; each position is a label, but those of weight 0."""

    def __init__(self, ids: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.ids = torch.from_numpy(ids)
        self.labels = self.ids if weights is None else self.ids.masked_fill(torch.from_numpy(weights) == 0, -100)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[place], "labels": self.labels[place]}


class Log(TrainerCallback):
    """What reaches those to whom the Trainer reports."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.rows.append((state.global_step, dict(logs)))

    def steps(self, name: str) -> list[int]:
        return [step for step, logs in self.rows if name in logs]


def trainer(module: Any, rows: Rows, folder: Path, steps: int, **more: Any) -> tuple[Trainer, Log]:
    log = Log()
    settings = {"learning_rate": 1e-3, "per_device_train_batch_size": 8, "logging_steps": 5, "save_strategy": "no"}
    args = TrainingArguments(
        str(folder), max_steps=steps, report_to=[], disable_tqdm=True, use_cpu=True, **{**settings, **more}
    )
    return Trainer(module, args, train_dataset=rows, callbacks=[log]), log


def copying(model: Model, **settings: Any) -> Verdict:
    """Induction with few twins: quick."""
    return assert_induction(model, n=10, twins=2, **settings)


def with_more_twins(model: Model, **settings: Any) -> Verdict:
    """The same with enough twins for a PASS."""
    return assert_induction(model, n=10, twins=4, **settings)


def recipe_rows(rows: int) -> tuple[Any, Rows]:
    """The default model of the zoo before its first step, and the first rows that its recipe trains on."""
    from interp_fixtures.zoo.corpus import batch
    from interp_fixtures.zoo.recipes import RECIPES
    from interp_fixtures.zoo.training import untrained

    recipe = RECIPES["gpt_neox"]
    batches = [batch(recipe.seed, step, recipe.phase(0)) for step in range(rows // recipe.phase(0).rows + 1)]
    ids, weights = (np.concatenate([getattr(one, name) for one in batches]) for name in ("ids", "weights"))
    return untrained(recipe), Rows(ids, weights)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[InterpCallback, Log, Path]:
    folder = tmp_path_factory.mktemp("run")
    module, rows = recipe_rows(100)
    runner, log = trainer(module, rows, folder / "out", 12, save_strategy="steps", save_steps=5)
    callback = InterpCallback(runner, every=5, claims=[copying], history=folder / "h.sqlite")
    runner.add_callback(callback)
    runner.train()
    return callback, log, folder


class TestARecipeOfTheZoo:
    def test_it_is_asked_at_first_every_n_steps_and_at_last(self, trained: tuple[InterpCallback, Log, Path]) -> None:
        callback, log, _ = trained
        assert list(callback.verdicts) == log.steps("interp/circuits/induction") == [0, 5, 10, 12]
        assert all(logs["interp/circuits/induction"] < 0.1 for _, logs in log.rows if "interp/seconds" in logs)
        assert not any(
            verdict.outcome is Outcome.PASS for verdicts in callback.verdicts.values() for verdict in verdicts
        )

    def test_the_losses_of_these_steps_are_logged_too(self, trained: tuple[InterpCallback, Log, Path]) -> None:
        assert trained[1].steps("loss") == [5, 10]

    def test_its_steps_are_called_as_the_checkpoints_and_stand_in_the_history(
        self, trained: tuple[InterpCallback, Log, Path]
    ) -> None:
        callback, _, folder = trained
        assert departures(callback.results.as_dict()) == []
        [training] = trainings(callback.results)
        assert (training.name, training.steps) == (str(folder / "out"), ("0", "5", "10", "12"))
        [claim] = read_claims(open_history(folder / "h.sqlite"), str(folder / "out"))
        assert [point.step for point in claim.points] == ["0", "5", "10", "12"]
        assert [point.measured is not None and point.measured.n for point in claim.points] == [128] * 4

    def test_the_checkpoints_that_the_trainer_wrote_give_the_same_values(
        self, trained: tuple[InterpCallback, Log, Path]
    ) -> None:
        """As ``--interp-model=out`` opens them, with the optimiser's pickles beside the weights."""
        callback, _, folder = trained
        written = each_of(str(folder / "out"))
        assert [Path(id).name for id in written] == ["checkpoint-5", "checkpoint-10", "checkpoint-12"]
        assert (Path(written[0]) / "optimizer.pt").exists()
        [loaded] = ask(load(written[0]), [copying], budget="quick")
        [in_memory] = callback.verdicts[5]
        assert (loaded.measurements[0].values == in_memory.measurements[0].values).all()


def test_a_model_that_unlearns_to_copy_is_seen_to_lose_it(tmp_path: Path) -> None:
    """Fine-tuned until it expects no word to come twice: every second copy is answered by other words."""
    model = load("zoo:gpt2")
    module = copy.deepcopy(model.module).requires_grad_(True)
    rng = np.random.default_rng(0)
    first = np.stack([rng.permutation(np.arange(20, 120))[:10] for _ in range(400)])
    second = np.stack([rng.permutation(np.arange(20, 120))[:10] for _ in range(400)])
    rows = Rows(np.concatenate([first, first, second], axis=1)[:, :30])
    rows.labels = torch.from_numpy(np.concatenate([first, second, second], axis=1))
    runner, _ = trainer(module, rows, tmp_path, 30, learning_rate=1e-2, per_device_train_batch_size=16)
    callback = InterpCallback(runner, every=15, claims=[with_more_twins], budget=400, name="mine")
    runner.add_callback(callback)
    runner.train()
    [training] = trainings(callback.results)
    assert training.models == ("mine@0", "mine@15", "mine@30")
    assert step_lines(training)[0].startswith("circuits/induction is lost at step ")
    assert training.claims[0].shown.last_before == "0"


class TestTheTrainingItself:
    @pytest.mark.parametrize("bf16", [False, True])
    def test_it_comes_out_bit_for_bit_as_without(self, tmp_path: Path, bf16: bool) -> None:
        """With dropout, so that a random number more or less would change everything; and with a ``forward`` that
        accelerate has put on the model, so that twins are written into the model itself."""
        weights, losses = [], []
        rows = Rows(np.random.default_rng(0).integers(5, 80, (64, 16)))
        for measured in (False, True):
            module = gpt2().module.requires_grad_(True).train()
            runner, log = trainer(module, rows, tmp_path, 4, logging_steps=1, bf16=bf16)
            if measured:
                runner.add_callback(InterpCallback(runner, every=2, claims=[copying], budget=64))
            runner.train()
            assert module.training
            assert copies_well(module) is not bf16
            weights.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
            losses.append([logs["loss"] for _, logs in log.rows if "loss" in logs])
        assert losses[0] == losses[1]
        assert len(losses[0]) == 4
        assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())

    def test_what_goes_wrong_later_does_not_end_it(self, tmp_path: Path) -> None:
        rows = Rows(np.random.default_rng(0).integers(5, 80, (64, 16)))
        module = gpt2().module.requires_grad_(True)
        runner, log = trainer(module, rows, tmp_path, 4)

        class Break(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == 1:
                    with torch.no_grad():
                        next(iter(module.parameters())).fill_(float("nan"))

        runner.add_callback(Break())
        callback = InterpCallback(runner, every=2, claims=[copying], budget=64)
        runner.add_callback(callback)
        with pytest.warns(UserWarning, match="interp: nothing measured at step .*not finite") as warned:
            runner.train()
        assert ["step 2:" in str(one.message) for one in warned if "interp:" in str(one.message)] == [True, False]
        assert runner.state.global_step == 4
        assert (list(callback.verdicts), log.steps("interp/seconds")) == ([0], [0])

    def test_nor_does_an_error_in_a_claim_or_in_the_history(self, tmp_path: Path) -> None:
        """Here a claim for which the memory is too small, and a history on which somebody writes."""
        path = tmp_path / "h.sqlite"

        def claim(model: Any, **settings: Any) -> Any:
            step = int(model.id.rpartition("@")[2])
            if step == 2:
                raise torch.OutOfMemoryError("too large")
            if step == 4:
                path.write_text("no database at all" * 100)
            return copying(model, **settings)

        runner, _ = trainer(
            gpt2().module.requires_grad_(True), Rows(np.random.default_rng(0).integers(5, 80, (64, 16))), tmp_path, 6
        )
        callback = InterpCallback(runner, every=2, claims=[claim], budget=64, history=path, name="mine")
        runner.add_callback(callback)
        with pytest.warns(UserWarning, match="interp: ") as warned:
            runner.train()
        told = [str(one.message) for one in warned if "interp: " in str(one.message)]
        assert told[0] == "interp: nothing measured at step 2: OutOfMemoryError: too large"
        for line, step in zip(told[1:], (4, 6), strict=True):
            assert line.startswith(f"interp: measured, but not logged or kept, at step {step}: {path}: ")
            assert "not a database" in line
        assert runner.state.global_step == 6
        assert list(callback.verdicts) == [0, 4, 6]


class TestWhatCannotBeAsked:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"every": 0}, "every=0 must be a whole number"),
            ({"every": 5, "claims": ["x/y"]}, "no claim 'x/y'; there are circuits/induction"),
            ({"every": 5, "budget": "huge"}, "unknown budget 'huge'"),
            ({"every": 5, "history": "mysql://host/db"}, "a history is a SQLite file so far"),
        ],
    )
    def test_it_is_said_when_the_callback_is_made(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageProblem, match=words):
            InterpCallback(None, **arguments)

    def test_it_is_said_before_the_first_step(self, tmp_path: Path) -> None:
        runner, _ = trainer(gpt2().module, Rows(np.ones((8, 4), dtype=np.int64)), tmp_path, 2)
        (tmp_path / "h").write_text("no database" * 99)
        runner.add_callback(InterpCallback(runner, every=1, history=tmp_path / "h"))
        with pytest.raises(UsageProblem, match="not a database"):
            runner.train()
        assert runner.state.global_step == 0

    def test_weights_that_are_spread_over_processes(self, tmp_path: Path) -> None:
        runner, _ = trainer(gpt2().module, Rows(np.ones((8, 4), dtype=np.int64)), tmp_path, 2)
        callback = InterpCallback(runner, every=1)
        runner.add_callback(callback)
        runner.is_fsdp_enabled = True
        with pytest.raises(UsageProblem, match="FSDP or DeepSpeed"):
            callback.on_train_begin(runner.args, runner.state, runner.control, model=runner.model)
        with pytest.raises(UsageProblem, match="nothing has been measured yet"):
            callback.results  # noqa: B018
