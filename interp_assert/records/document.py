"""What stands in a results document: the required keys of each part and what they may hold; further keys are free.

A number that is not finite is written as null.
"""

from __future__ import annotations

SCHEMA = 1

NUMBER = (int, float)
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE")

RUN: dict[str, tuple[type, ...]] = {
    "versions": (dict,),
    "platform": (str,),
    "seed": (int,),
    "started": (str,),
    "seconds": NUMBER,
}
MODEL: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "revision": (str, type(None)),
    "sha256": (str,),
    "architecture": (str,),
    "parameters": (int,),
    "dtype": (str,),
    "device": (str,),
    "threads": (int,),
}
MEASURED: dict[str, tuple[type, ...]] = {
    "verdict": (str,),
    "estimate": (*NUMBER, type(None)),
    "interval": (list, type(None)),
    "n": (int,),
    "threshold": (*NUMBER, type(None)),
    "details": (dict,),
}
CHECK: dict[str, tuple[type, ...]] = {
    "check": (str,),
    "model": (str,),
    **MEASURED,
    "controls": (list,),
    "forward_passes": (int,),
    "tokens": (int,),
    "seconds": NUMBER,
}
CONTROL: dict[str, tuple[type, ...]] = {"name": (str,), **MEASURED}
PROFILE: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "clusters": (int,),
    "seed": (int,),
    "level": NUMBER,
    "figures": (list,),
    "costs": (dict,),
}
FIGURE: dict[str, tuple[type, ...]] = {
    "measure": (str,),
    "quantity": (str,),
    "value": (*NUMBER, type(None)),
    "interval": (list, type(None)),
    "n": (int,),
    "unit": (str,),
    "note": (str,),
    "approximate": (bool,),
    "missing": (str,),
    "broken": (bool,),
}
BASELINE: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "check": (str,),
    "key": (str,),
    "nodeid": (str,),
    "status": (str,),
    "verdict": (str, type(None)),
    "fails": (bool,),
    "before": (*NUMBER, type(None)),
    "now": (*NUMBER, type(None)),
    "change": (*NUMBER, type(None)),
    "interval": (list, type(None)),
    "limit": (*NUMBER, type(None)),
    "n": (int,),
    "unit": (str,),
    "direction": (str,),
    "approximate": (bool,),
    "weights": (dict,),
    "reason": (str,),
}
STATUSES = ("compared", "missing", "lost", "stale", "incomparable", "new", "updated")
GATE: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "file": (str,),
    "node": (str,),
    "problem": (str,),
    "false_alarms": (*NUMBER, type(None)),
    "models": (list,),
    "claims": (list,),
    "tests": (list,),
}
GATE_MODEL: dict[str, tuple[type, ...]] = {"model": (str,), "sha256": (str, type(None))}
GATE_CLAIM: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "check": (str,),
    "advisory": (bool,),
    "waiver": (dict, type(None)),
    "floor": (*NUMBER, type(None)),
    "site": (str, type(None)),
    "levels": (dict,),
}
GATE_TEST: dict[str, tuple[type, ...]] = {
    "nodeid": (str,),
    "model": (str,),
    "check": (str,),
    "outcome": (str,),
    "message": (str,),
    "asked": (list,),
}
