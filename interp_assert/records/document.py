"""What stands in a results document: what each part must hold, what reports look for, and that the rest is free.

A number that is not finite is written as null.
"""

from __future__ import annotations

from .shapes import INTERVAL, Leaf, ListOf, MapOf, OneOf, Part, Shape

__all__ = ["PARTS", "SCHEMA", "VERDICTS"]

SCHEMA = 1

VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE")
STATUSES = ("compared", "missing", "lost", "stale", "incomparable", "new", "updated")

_TEXT, _COUNT, _YES_OR_NO, _NUMBER = Leaf((str,)), Leaf((int,)), Leaf((bool,)), Leaf((int, float))
_OBJECT, _LIST = Leaf((dict,)), Leaf((list,))
_TEXT_OR_NULL, _COUNT_OR_NULL = Leaf((str, type(None))), Leaf((int, type(None)))
_NUMBER_OR_NULL = Leaf((int, float, type(None)))
_TEXTS = ListOf(_TEXT)

RUN = Part(
    {"versions": _OBJECT, "platform": _TEXT, "seed": _COUNT, "started": _TEXT, "seconds": _NUMBER},
    {
        "notes": _TEXTS,
        "git": Part({"commit": _TEXT_OR_NULL, "changed": Leaf((bool, type(None)))}, null=True),
        "base": _TEXT_OR_NULL,
        "not_measured": MapOf(_TEXTS),
    },
)
MODEL = Part(
    {
        "id": _TEXT,
        "revision": _TEXT_OR_NULL,
        "sha256": _TEXT,
        "architecture": _TEXT,
        "parameters": _COUNT,
        "dtype": _TEXT,
        "device": _TEXT,
        "threads": _COUNT,
    },
    {"changed": _TEXT_OR_NULL},
)
_MEASURED: dict[str, Shape] = {
    "verdict": OneOf(VERDICTS),
    "estimate": _NUMBER_OR_NULL,
    "interval": INTERVAL,
    "n": _COUNT,
    "threshold": _NUMBER_OR_NULL,
    "details": _OBJECT,
}
CONTROL = Part({"name": _TEXT, **_MEASURED})
CHECK = Part(
    {
        "check": _TEXT,
        "model": _TEXT,
        **_MEASURED,
        "controls": ListOf(CONTROL),
        "forward_passes": _COUNT,
        "tokens": _COUNT,
        "seconds": _NUMBER,
    },
    {
        "nodeid": _TEXT,
        "layer": _TEXT_OR_NULL,
        "claim": _TEXT_OR_NULL,
        "claim_verdict": OneOf(VERDICTS),
        "direction": _TEXT_OR_NULL,
        "levels": Part({"pass": _NUMBER, "fail": _NUMBER, "control": _NUMBER}, {"control_fail": _NUMBER}, null=True),
        "needed": _COUNT_OR_NULL,
        "reason": _TEXT_OR_NULL,
    },
)
FIGURE = Part(
    {
        "measure": _TEXT,
        "quantity": _TEXT,
        "value": _NUMBER_OR_NULL,
        "interval": INTERVAL,
        "n": _COUNT,
        "unit": _TEXT,
        "note": _TEXT,
        "approximate": _YES_OR_NO,
        "missing": _TEXT,
        "broken": _YES_OR_NO,
    }
)
PROFILE = Part(
    {
        "model": _TEXT,
        "clusters": _COUNT,
        "seed": _COUNT,
        "level": _NUMBER,
        "figures": ListOf(FIGURE),
        "costs": _OBJECT,
    }
)
_WEIGHTS = {"sha256": _TEXT, "revision": _TEXT_OR_NULL, "dtype": _TEXT}
BASELINE = Part(
    {
        "model": _TEXT,
        "check": _TEXT,
        "key": _TEXT,
        "nodeid": _TEXT,
        "status": OneOf(STATUSES),
        "verdict": OneOf(VERDICTS, null=True),
        "fails": _YES_OR_NO,
        "before": _NUMBER_OR_NULL,
        "now": _NUMBER_OR_NULL,
        "change": _NUMBER_OR_NULL,
        "interval": INTERVAL,
        "limit": _NUMBER_OR_NULL,
        "n": _COUNT,
        "unit": _TEXT,
        "direction": _TEXT,
        "approximate": _YES_OR_NO,
        "weights": Part({"before": Part(_WEIGHTS, null=True), "now": Part(_WEIGHTS)}),
        "reason": _TEXT,
    }
)
_CLAIM = Part(
    {
        "model": _TEXT,
        "check": _TEXT,
        "advisory": _YES_OR_NO,
        "waiver": Part({"reason": _TEXT, "owner": _TEXT, "expires": _TEXT}, null=True),
        "floor": _NUMBER_OR_NULL,
        "site": _TEXT_OR_NULL,
        "levels": Part({"pass": _NUMBER, "fail": _NUMBER}),
    },
    {"budget": _TEXT, "why": _TEXT_OR_NULL},
)
_TEST = Part(
    {"nodeid": _TEXT, "model": _TEXT, "check": _TEXT, "outcome": _TEXT, "message": _TEXT, "asked": _TEXTS},
)
GATE = Part(
    {
        "name": _TEXT,
        "file": _TEXT,
        "node": _TEXT,
        "problem": _TEXT,
        "false_alarms": _NUMBER_OR_NULL,
        "models": ListOf(Part({"model": _TEXT, "sha256": _TEXT_OR_NULL}, {"line": _COUNT})),
        "claims": ListOf(_CLAIM),
        "tests": ListOf(_TEST),
    },
    {"description": _TEXT_OR_NULL, "line": _COUNT_OR_NULL, "verdict": _TEXT},
)

PARTS: dict[str, Shape] = {
    "run": RUN,
    "models": ListOf(MODEL),
    "checks": ListOf(CHECK),
    "profiles": ListOf(PROFILE),
    "baselines": ListOf(BASELINE),
    "gates": ListOf(GATE),
}
"""the parts of a document, of which those after ``checks`` need not be there"""
