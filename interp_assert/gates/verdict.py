"""The verdict on a release: one pure function of a results document and one of its gates, used by whoever tells it.

Fails closed: RELEASE needs every required claim to be shown to hold. Whatever is missing, skipped, broken, undecided,
deselected or decided otherwise than the gate asks is INCOMPLETE, never RELEASE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records import Results

__all__ = ["ClaimStand", "GateVerdict", "ModelVerdict", "Release", "decide", "decide_all"]

_SLACK = 1e-9
"""relative; levels are written and read as decimal numbers"""


class Release(str, Enum):
    """What a gate says of a model, and of all its models together."""

    RELEASE = "RELEASE"
    """every required claim holds"""
    BLOCK = "BLOCK"
    """the opposite of a required claim is established"""
    INCOMPLETE = "INCOMPLETE"
    """a required claim was not decided, or not as the gate asks"""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ClaimStand:
    """How one claim stands: ``verdict`` is that of its record, MISSING without one that counts, WORSE where the model
    is worse than its baseline (an entry of ``baselines``).

    ``says`` is what it does to the release. ``reason`` tells why that is not RELEASE, in a sentence; ``excused`` is
    "advisory" or "waived" where the verdict does not count. ``record`` is the check in the results file, ``nodeids``
    the tests that decide the claim.
    """

    model: str
    check: str
    verdict: str
    says: Release
    reason: str
    excused: str
    claim: Mapping[str, Any]
    record: Mapping[str, Any] | None
    baseline: Mapping[str, Any] | None
    nodeids: tuple[str, ...]


@dataclass(frozen=True)
class ModelVerdict:
    """A model with all its claims."""

    model: str
    says: Release
    reason: str
    claims: tuple[ClaimStand, ...]


@dataclass(frozen=True)
class GateVerdict:
    """The whole gate. ``reason`` tells what keeps all of it from being decided, ``line`` where in the file to look
    first: at the first model that has the verdict of the whole, or at what is wrong with the file."""

    name: str
    file: str
    description: str
    says: Release
    reason: str
    models: tuple[ModelVerdict, ...]
    line: int = 1


def decide_all(results: Results) -> tuple[GateVerdict, ...]:
    """The verdict on every gate of a results document."""
    return tuple(decide(gate, results) for gate in results.gates)


def decide(gate: Mapping[str, Any], results: Results) -> GateVerdict:
    """What the results say about one gate (an entry of ``results.gates``)."""
    known = {model["id"]: model for model in results.models}
    models = []
    for entry in gate["models"]:
        claims = tuple(
            _stand(claim, gate["tests"], results) for claim in gate["claims"] if claim["model"] == entry["model"]
        )
        models.append(_on_model(entry, claims, known.get(entry["model"])))
    says = _worst(model.says for model in models)
    reason = gate["problem"]
    if reason or not models:
        says = Release.BLOCK if says is Release.BLOCK else Release.INCOMPLETE
        reason = reason or "it names no model"
    blamed = [entry for entry, model in zip(gate["models"], models, strict=True) if model.says is says]
    line = next((entry.get("line") for entry in (*blamed[:1], gate) if entry.get("line")), 1)
    return GateVerdict(gate["name"], gate["file"], gate.get("description") or "", says, reason, tuple(models), line)


def _on_model(
    entry: Mapping[str, Any], claims: tuple[ClaimStand, ...], model: Mapping[str, Any] | None
) -> ModelVerdict:
    says, reason = _worst(claim.says for claim in claims), ""
    counting = [claim for claim in claims if claim.excused != "advisory"]
    if not any(claim.verdict in ("PASS", "FAIL", "WORSE") for claim in counting):
        reason = "" if says is not Release.RELEASE else "none of its required claims was decided"
    elif model is None:
        reason = "the results do not say which weights were measured"
    elif model.get("changed"):
        reason = f"its files changed during the run ({model['changed']})"
    elif entry["sha256"] not in (None, model["sha256"]):
        reason = f"the gate is for weights with sha256 {entry['sha256'][:12]}..., not {model['sha256'][:12]}..."
    if reason and says is Release.RELEASE:
        says = Release.INCOMPLETE
    return ModelVerdict(entry["model"], says, reason, claims)


def _stand(claim: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], results: Results) -> ClaimStand:
    model, check = claim["model"], claim["check"]
    own = [test for test in tests if (test["model"], test["check"]) == (model, check)]
    ids = {test["nodeid"] for test in own}

    def about(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [e for e in entries if e.get("nodeid") in ids and (e["model"], e["check"]) == (model, check)]

    record = min(about(results.checks), key=lambda record: _ORDER.index(record["verdict"]), default=None)
    failing = sorted((e for e in about(results.baselines) if e["fails"]), key=lambda e: e["verdict"] != "FAIL")
    baseline = failing[0] if failing else None
    verdict, reason = _verdict(claim, own, record, baseline)
    excuse = "advisory" if claim["advisory"] else "waived" if claim["waiver"] else ""
    if excuse and (missing := _missing(claim, own, record, baseline)):
        verdict, reason, excuse = "MISSING", missing, ""  # its verdict may be any, but it must be had
    excused = excuse if verdict != "PASS" or excuse == "advisory" else ""
    says = Release.RELEASE if excused else _SAYS[verdict]
    return ClaimStand(model, check, verdict, says, reason, excused, claim, record, baseline, tuple(sorted(ids)))


def _verdict(
    claim: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any] | None,
    baseline: Mapping[str, Any] | None,
) -> tuple[str, str]:
    """(verdict, why it is not PASS). A FAIL always counts, and so does being worse than before."""
    if record is not None and record["verdict"] == "FAIL":
        return "FAIL", _told(record)
    if baseline is not None and baseline["verdict"] == "FAIL":
        return "WORSE", _told(baseline)
    missing = _missing(claim, tests, record, baseline)
    if missing or record is None:
        return "MISSING", missing
    if record["verdict"] == "PASS" and baseline is not None:
        return "INCONCLUSIVE", _told(baseline)
    return record["verdict"], "" if record["verdict"] == "PASS" else _told(record)


def _told(entry: Mapping[str, Any]) -> str:
    return " ".join((entry.get("reason") or "").split())


_ORDER = ("FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "PASS")
_SAYS = {
    "PASS": Release.RELEASE,
    "FAIL": Release.BLOCK,
    "WORSE": Release.BLOCK,
    "INCONCLUSIVE": Release.INCOMPLETE,
    "NOT_APPLICABLE": Release.INCOMPLETE,
    "MISSING": Release.INCOMPLETE,
}
_NOT_RUN = {
    "deselected": "it was deselected (-k, -m or --deselect)",
    "": "it was not run: deselected, or the run ended before it (-x, --maxfail, a crash)",
}


def _missing(
    claim: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any] | None,
    baseline: Mapping[str, Any] | None,
) -> str:
    """Why there is no verdict that counts; empty if there is one."""
    if not tests:
        return "no test of it was collected"
    for test in tests:
        outcome, message = test["outcome"], test["message"]
        if outcome in _NOT_RUN:
            return _NOT_RUN[outcome]
        if outcome == "error" or (record is None and outcome == "failed"):
            return f"its test ended in an error: {message}" if message else "its test ended in an error"
        if record is None and outcome == "skipped":
            return f"it was skipped: {message}"
    if record is None:
        return "its test ended without a verdict"
    if baseline is not None and baseline["verdict"] is None and baseline["status"] != "lost":
        return _told(baseline)
    if record["verdict"] == "PASS" and baseline is None and any(test["outcome"] != "passed" for test in tests):
        test = next(test for test in tests if test["outcome"] != "passed")
        return f"its verdict is PASS, but its test {test['outcome']}: {test['message']}"
    return _not_as_asked(claim, tests, record)


def _not_as_asked(claim: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> str:
    """How the verdict was reached otherwise than the gate asks: a suite that does not heed its settings."""
    for name in ("floor", "site"):
        if claim[name] is not None and not all(f"{claim['check']} {name}" in test["asked"] for test in tests):
            return f"its test never asked for the {name} that the gate sets (fixture interp_{name})"
    if record["verdict"] != "PASS":
        return ""
    levels = record.get("levels")  # None of identities, which are not estimated
    if record["n"] < 1 or (record["estimate"] is None and levels is not None):
        return "its verdict is PASS, but nothing was measured"
    if levels is not None and levels["pass"] > claim["levels"]["pass"] * (1 + _SLACK):
        return (
            f"it passed at an error level of {levels['pass']:g}, the gate asks for {claim['levels']['pass']:g} "
            "(fixture interp_settings)"
        )
    return ""


def _worst(said: Iterable[Release]) -> Release:
    heard = set(said)
    for worst in (Release.BLOCK, Release.INCOMPLETE):
        if worst in heard:
            return worst
    return Release.RELEASE if heard else Release.INCOMPLETE
