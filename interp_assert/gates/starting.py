"""A first gate, from measured profiles: floors that the models clear with a power that is stated beside each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageProblem
from ..stats import Budget, ErrorLevels
from ..stats.power import highest_floor, probability_of_pass
from .json_schema import modeline

__all__ = ["SLACK", "StartingModel", "first_gate"]

SLACK = 0.05
"""how far a floor lies below what was measured at least: the margin of non-inferiority elsewhere"""
LEAST = {"lens/crossover": 0.5, "controls/steering": 0.75}
"""what the claims of these checks ask for by default: a floor below it would claim less than no floor"""
_NULLS = ("chance", "shuffled", "unrepeated", "null")
"""what a figure's details call the score of something that cannot do it"""


@dataclass(frozen=True)
class StartingModel:
    """A model of the first gate: what ``id:`` and ``name:`` are to say, and its entry of ``profiles``."""

    id: str
    name: str | None
    profile: Mapping[str, Any]


def first_gate(
    models: Sequence[StartingModel], *, budget: Budget, power: float, schema: str, levels: ErrorLevels | None = None
) -> str:
    """The text of the gate file.

    A claim gets a floor if one lies clearly above what chance and nulls reach; what is left out is said in a comment.
    The floor is the highest that hits and misses with the lower end of the figure's interval as their mean clear with
    probability ``power``, and at least ``SLACK`` below the figure. Raises UsageProblem for a model that no claim can be
    made about.
    """
    levels = levels if levels is not None else ErrorLevels()
    lines = [
        modeline(schema),
        f"# Written from profiles of {budget.clusters:,} prompts a figure: each floor is one that the model measured",
        f"# clears with a probability of at least {power:g}. Move them to what a release needs.",
        f"budget: {budget.name}",
        "models:",
    ]
    for model in models:
        lines.append(f"  - id: {_scalar(model.id)}")
        if model.name is not None:
            lines.append(f"    name: {_scalar(model.name)}")
        figures = {figure["measure"]: figure for figure in reversed(model.profile["figures"])}
        claims, left_out = [], []
        for check in dict.fromkeys(figure["measure"] for figure in model.profile["figures"]):
            try:
                claims += _claim(check, figures[check], budget, power, levels)
            except _LeftOut as reason:
                left_out.append(f"{check} is left out: {reason}")
        if not claims:
            raise UsageProblem(f"no floor can be set for {model.id}: {'; '.join(left_out)}")
        lines += [*(f"    # {_one_line(reason)}" for reason in left_out), "    claims:", *claims]
    return "\n".join([*lines, ""])


class _LeftOut(Exception):
    """Why a claim has no place in a first gate."""


def _claim(check: str, figure: Mapping[str, Any], budget: Budget, power: float, levels: ErrorLevels) -> list[str]:
    """The lines of one claim; raises ``_LeftOut``."""
    value, (low, high) = figure["value"], figure["interval"] or (None, None)
    if value is None:
        raise _LeftOut(figure["missing"])
    if low is None or high is None or figure["approximate"] or not 0.0 <= low <= value <= high <= 1.0:
        told = f"a floor follows from a share with an exact interval, and this is {value:.3f} {figure['unit']}"
        raise _LeftOut(f"{told}{' (approximate)' if figure['approximate'] else ''}; write one yourself, or none")
    if high - low < 1e-9 and figure["n"] <= budget.clusters:  # a list, measured whole: it is always decided
        told, floor, reached = f"{value:.3f} of all {figure['n']}", _down(value - SLACK), 1.0
    else:
        told = f"{value:.3f}, surely between {low:.3f} and {high:.3f} ({figure['n']} prompts)"
        highest = highest_floor(low, budget.clusters, levels, power)
        floor = min(-1.0 if highest is None else highest, _down(value - SLACK))
        reached = 0.0 if floor < 0 else probability_of_pass(low, floor, budget.clusters, levels)
    nulls = [figure["details"][name] for name in _NULLS if isinstance(figure["details"].get(name), (int, float))]
    least = max(LEAST.get(check, 0.0), max(nulls, default=0.0) + SLACK)
    if floor < least:
        raise _LeftOut(f"{told}, which leaves no floor of {least:.3f} or more")
    sure = (
        "a list that is drawn to its end is decided surely"
        if reached == 1.0
        else (f"scores with a mean of {low:.3f} clear this with probability {reached:.3f}")
    )
    return [f"      {check}:", f"        # measured {told}; {sure}", f"        floor: {floor:g}"]


def _scalar(text: str) -> str:
    """Text as YAML: bare where it cannot be read as anything else."""
    bare = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*|\.\.?/[A-Za-z0-9_./@+-]+", text)
    words = ("null", "true", "false")
    return text if bare and text.lower() not in words else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _down(value: float) -> float:
    """To the hundredth below."""
    return int(value * 100 + 1e-9) / 100
