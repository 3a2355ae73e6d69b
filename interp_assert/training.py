"""Claims during a training: a callback for ``transformers.Trainer`` that asks them every N steps."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from os import PathLike
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from .assertions.catalogue import QUICK_CLAIMS, Claim, ask, claims_named
from .assertions.text import safe_line
from .errors import InterpError, UsageProblem
from .models import wrap
from .records import Results, model_entry
from .records.history import append, open_history
from .stats import Budget, ErrorLevels, Outcome, Verdict
from .tracking import results_of

__all__ = ["InterpCallback"]


class InterpCallback(TrainerCallback):
    """Asks claims before the first step, every ``every`` steps and after the last one, and logs what they reach to
    wherever the Trainer reports.

    ::

        trainer = Trainer(model, args, train_dataset=data, processing_class=tokenizer)
        trainer.add_callback(InterpCallback(trainer, every=500))
        trainer.train()

    Logged are ``interp/<check>``, the mean over all clusters of the budget; ``interp/<check>/holds``, 1 for PASS, 0 for
    FAIL and nothing for what is not decided or not applicable; and ``interp/seconds``. ``claims`` are names
    (``QUICK_CLAIMS`` by default) or functions ``claim(model, budget=, levels=, seed=)``. With ``history`` each of these
    runs is appended to that database. ``verdicts`` keeps all of them by step, ``results`` is their results document.

    The model is measured as it is, in memory, by the first process of the run; weights, gradients, random numbers and
    training mode are afterwards what they were, so a training comes out bit for bit as without it. ``name`` is what the
    steps are called after (``name@500``); by default they are called as the checkpoints that the Trainer writes.

    Raises UsageProblem, before the first step, for arguments and models that cannot be measured, among them models
    whose weights are spread over processes (FSDP, DeepSpeed): measure their checkpoints instead. What goes wrong later
    is a warning and does not end the training.
    """

    def __init__(
        self,
        trainer: Any,
        *,
        every: int,
        claims: Sequence[str | Claim] = QUICK_CLAIMS,
        budget: Budget | str | int = "quick",
        levels: ErrorLevels | None = None,
        seed: int = 0,
        history: str | PathLike[str] | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageProblem(f"every={every!r} must be a whole number of steps, at least 1")
        claims_named(claims)
        if isinstance(budget, str):
            Budget.named(budget)
        self.trainer = trainer
        self.every = every
        self.claims = tuple(claims)
        self.settings: dict[str, Any] = {"budget": budget, "levels": levels, "seed": seed}
        self.history = None if history is None else open_history(history)
        self.name = name
        self.verdicts: dict[int, list[Verdict]] = {}
        self._runs: list[Results] = []
        self._asked_at: int | None = None

    @property
    def results(self) -> Results:
        """Everything that was reached so far, as one results document. Raises UsageProblem before the first step."""
        if not self._runs:
            raise UsageProblem("nothing has been measured yet: train with this callback first")
        models = tuple(model for run in self._runs for model in run.models)
        return Results(self._runs[-1].run, models, tuple(check for run in self._runs for check in run.checks))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for the first time; whatever cannot be measured is an error here."""
        if getattr(self.trainer, "is_fsdp_enabled", False) or getattr(self.trainer, "is_deepspeed_enabled", False):
            raise UsageProblem(
                "the weights are spread over processes (FSDP or DeepSpeed), and none of them holds a model that could "
                "be measured: save checkpoints and measure those, with --interp-model=FOLDER or interp-assert track"
            )
        if state.is_world_process_zero:
            if self.history is not None:
                self.history.prove_writable()
            self._ask(state, control, **kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask every ``every`` steps."""
        if state.global_step % self.every == 0:
            self._ask_if_it_can(state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask of what came out, unless it was asked at this very step."""
        if state.global_step != self._asked_at:
            self._ask_if_it_can(state, control, **kwargs)

    def _ask_if_it_can(self, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        try:
            self._ask(state, control, **kwargs)
        except Exception as problem:  # of any kind, memory that ran out among them: days of training are worth more
            told = str(problem) if isinstance(problem, InterpError) else f"{type(problem).__name__}: {problem}"
            done = "measured, but not logged or kept," if state.global_step in self.verdicts else "nothing measured"
            warnings.warn(f"interp: {done} at step {state.global_step}: {told}", stacklevel=2)

    def _ask(self, state: Any, control: Any, model: Any, processing_class: Any = None, **_: Any) -> None:
        self._asked_at = state.global_step
        step, started, clock = int(state.global_step), datetime.now(timezone.utc), time.monotonic()
        with _as_it_was(model):
            handle = wrap(model, processing_class, id=self._id(step))
            verdicts = ask(handle, self.claims, **self.settings)
            entry = model_entry(handle.id, handle.provenance())
        self.verdicts[step] = verdicts
        results, measured = results_of(entry, verdicts, seed=self.settings["seed"], started=started, clock=clock)
        self._runs.append(results)
        should_log = control.should_log
        self.trainer.log({**logged(verdicts), "interp/seconds": time.monotonic() - clock})
        control.should_log = should_log  # the Trainer takes it for done whenever anybody logs
        if self.history is not None:
            append(self.history, results, measured, kind="training")

    def _id(self, step: int) -> str:
        folder = str(self.trainer.args.output_dir).rstrip("/")
        return f"{folder}/checkpoint-{step}" if self.name is None else f"{self.name}@{step}"


def logged(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The numbers of verdicts, by the names under which they are logged."""
    numbers: dict[str, float] = {}
    for verdict in verdicts:
        name = f"interp/{safe_line(verdict.check)}"
        value = verdict.measurements[0].estimate if verdict.measurements else verdict.estimate
        if value is not None:
            numbers[name] = float(value)
        if verdict.outcome in (Outcome.PASS, Outcome.FAIL):
            numbers[f"{name}/holds"] = float(verdict.outcome is Outcome.PASS)
    return numbers


@contextmanager
def _as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Training modes and the states of all random numbers are afterwards what they were."""
    modes = {part: part.training for part in module.modules()}
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  # what data collators draw from
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for part, mode in modes.items():
            part.training = mode
