"""What may stand in a gate file: keys, types and ranges. What depends on other keys, on suites or on the date is looked
at in ``resolving``.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["ClaimEntry", "GateFile", "LevelsEntry", "ModelEntry", "WaiverEntry"]

_TEXT = {"type": "string", "pattern": "\\S"}
_NAME = "^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _filled(value: Any) -> Any:
    """A key with nothing behind it is a setting that was forgotten, not one that may be left out."""
    if value is None:
        raise PydanticCustomError("empty", "nothing stands behind it; write a value, or remove the key")
    return value


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise PydanticCustomError("blank", "it is blank; write a text, or remove the key")
    return value


def _day(value: Any) -> Any:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("day", "{value} is no date; write YYYY-MM-DD", {"value": repr(value)[:40]})


def _model(value: Any) -> Any:
    """A model that is only named."""
    return {"id": value} if isinstance(value, str) else value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _claim(value: Any) -> Any:
    """``circuits/induction:`` with nothing behind it is a claim without settings of its own."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_not_blank), WithJsonSchema(_TEXT)]
Name = Annotated[str, Field(pattern=_NAME, max_length=100)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Level = Annotated[float, Field(gt=0.0, lt=0.5, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Budget = Literal["quick", "standard", "thorough"]
Filled = BeforeValidator(_filled)


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LevelsEntry(_Entry):
    """How sure a verdict must be."""

    pass_: Level = Field(
        default=0.01, alias="pass", description="The largest probability of PASS where the claim is false."
    )
    fail: Level = Field(
        default=0.001,
        description="The largest probability of FAIL where the claim is true; false-alarms may make it smaller.",
    )


class ClaimEntry(_Entry):
    """How one claim is held in this gate. With nothing behind it, it is required as it ships."""

    floor: Annotated[Number | None, Filled] = Field(default=None, description="The number must lie above it.")
    limit: Annotated[Number | None, Filled] = Field(
        default=None, description="The number must lie below it, for checks where lower is better."
    )
    site: Annotated[Text | None, Filled] = Field(
        default=None, description="Where in the model it is measured, such as blocks.6.resid_post."
    )
    budget: Annotated[Budget | None, Filled] = Field(
        default=None, description="How many prompts may be drawn: quick 128, standard 512, thorough 4096."
    )
    levels: Annotated[LevelsEntry | None, Filled] = Field(
        default=None, description="How sure the verdict on this claim must be."
    )
    advisory: bool = Field(default=False, description="Measured and reported; its verdict never stops a release.")
    why: Annotated[Text | None, Filled] = Field(
        default=None, description="What is lost where it does not hold, for whoever reads that it does not."
    )


Claims = Annotated[
    dict[Text, Annotated[ClaimEntry, BeforeValidator(_claim)]],
    Field(description="Claims by the id of their check, such as circuits/induction, each required."),
]
Suites = Annotated[list[Text], Field(description="Suites of which every claim is required.")]


class ModelEntry(_Entry):
    """A model under test."""

    id: Text = Field(description="zoo:NAME, a directory relative to this file (./tuned), or org/name of the hub.")
    name: Annotated[Name | None, Filled] = Field(
        default=None, description="What it is called in reports; by default its id, or the last part of a directory."
    )
    revision: Annotated[
        list[Text] | None,
        Field(min_length=1),
        BeforeValidator(_one_or_more),
        Filled,
        WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}),
    ] = Field(default=None, description="Branch, tag, commit or checkpoint, or a list of them.")
    sha256: Annotated[Sha256 | None, Filled] = Field(
        default=None, description="Of its weights, as results files have it; verdicts on other weights do not count."
    )
    base: Annotated[Text | None, Filled] = Field(default=None, description="The model that drift is measured from.")
    coder: Annotated[Text | None, Filled] = Field(
        default=None, description="The directory of a sparse autoencoder for the suite coders."
    )
    suites: Annotated[Suites | None, Filled] = Field(
        default=None, description="In place of the gate's own: suites of which every claim is required."
    )
    claims: Claims = Field(default_factory=dict)


class WaiverEntry(_Entry):
    """A claim that may fail for a while, for a reason that somebody answers for."""

    model: Text = Field(description="The name of the model.")
    claim: Text = Field(description="The id of the check.")
    reason: Text = Field(description="Why the release may go out all the same.")
    owner: Text = Field(description="Who answers for it.")
    expires: Day = Field(description="The last day on which it holds, YYYY-MM-DD, at most a year ahead.")


class GateFile(_Entry):
    """A release gate of interp-assert: what each model must be shown to do before it is released."""

    version: Annotated[int, Field(ge=1, le=1), WithJsonSchema({"const": 1})] = Field(
        default=1, description="Of this format."
    )
    name: Annotated[Name | None, Filled] = Field(
        default=None, description="What the gate is called; by default what its file is."
    )
    description: Annotated[Text | None, Filled] = Field(default=None, description="What it is for.")
    models: list[Annotated[ModelEntry, BeforeValidator(_model)]] = Field(
        min_length=1, description="The models under test."
    )
    suites: Suites = Field(default_factory=list)
    claims: Claims = Field(default_factory=dict)
    budget: Budget = Field(
        default="standard", description="How many prompts a claim may draw: quick 128, standard 512, thorough 4096."
    )
    levels: LevelsEntry = Field(default_factory=LevelsEntry)
    false_alarms: Level = Field(
        default=0.01,
        alias="false-alarms",
        description="The largest probability that a run ends in BLOCK although every required claim is true.",
    )
    seed: Annotated[int | None, Field(ge=0, le=2**63 - 1), Filled] = Field(
        default=None, description="Of prompts and twins; by default that of the run (--interp-seed, 0)."
    )
    waivers: list[WaiverEntry] = Field(
        default_factory=list, description="Claims that may fail for a while, for a reason that somebody answers for."
    )
