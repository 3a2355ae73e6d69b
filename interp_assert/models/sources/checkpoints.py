"""Steps of one training: the checkpoints that a folder holds, and which step of what a model's name says it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Checkpoint", "checkpoint_of", "in_order", "saved_steps"]

_SAVED = re.compile(r"checkpoint-(\d+)")
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """One step of a training: ``org/m@step512`` is step ``step512`` of ``org/m``."""

    training: str
    step: str


def checkpoint_of(name: str) -> Checkpoint | None:
    """Which step of what training a model is, going by its name in reports; None for a model of no step.

    ::

        org/m@step512           step512 of org/m
        zoo:gpt_neox@800        800 of zoo:gpt_neox
        ./run/checkpoint-500    500 of ./run
        mine@500                500 of mine      (of mine=./run and mine@500=./dir)
    """
    parent, slash, last = name.replace("\\", "/").rstrip("/").rpartition("/")
    if saved := _SAVED.fullmatch(last):
        return Checkpoint(name[: len(parent)] or ("/" if slash else "."), saved[1])
    training, at, step = name.rpartition("@")
    return Checkpoint(training, step) if at and training and step and "/" not in step else None


def in_order(steps: Iterable[str]) -> list[str]:
    """The steps in the order of training: by the numbers in them if that is all in which they differ (``step64`` before
    ``step512``), else as they are given.
    """
    steps = list(dict.fromkeys(steps))
    if len({_NUMBER.sub("#", step) for step in steps}) > 1:
        return steps
    return sorted(steps, key=lambda step: [int(number) for number in _NUMBER.findall(step)])


def saved_steps(folder: Path) -> list[tuple[str, Path]]:
    """(step, directory) of every ``checkpoint-*`` in a folder as ``transformers.Trainer`` writes them, ascending."""
    if not folder.is_dir():
        return []
    found = {saved[1]: path for path in folder.iterdir() if (saved := _SAVED.fullmatch(path.name)) and path.is_dir()}
    return [(step, found[step]) for step in in_order(found)]
