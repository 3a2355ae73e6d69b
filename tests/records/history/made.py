"""Runs made by hand for the tests of the history, and a process that appends many of them: ``python made.py FILE NAME
COUNT``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import Any

from interp_assert.records import Results
from interp_assert.records.history import append, open_history

RUN = {
    "versions": {"interp-assert": "0.1"},
    "platform": "Linux",
    "seed": 0,
    "started": "2026-07-01T12:00:00+00:00",
    "seconds": 1.5,
    "git": {"commit": "a" * 40, "changed": False},
}


def model(name: str, weights: str = "", **more: Any) -> dict[str, Any]:
    entry = {
        "id": name,
        "revision": None,
        "sha256": hashlib.sha256((weights or name).encode("utf-8", "replace")).hexdigest(),
        "architecture": "gpt2",
        "parameters": 392000,
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "changed": None,
    }
    return {**entry, **more}


def check(name: str, model: str, verdict: str = "PASS", **more: Any) -> dict[str, Any]:
    entry = {
        "check": name,
        "model": model,
        "layer": None,
        "claim": "it copies",
        "verdict": verdict,
        "estimate": 0.9,
        "interval": [0.8, None],
        "n": 34,
        "threshold": 0.05,
        "direction": "higher",
        "levels": {"pass": 0.01, "fail": 0.001, "control": 0.01},
        "details": {"seed": 0, "n": 20},
        "controls": [],
        "reason": "",
        "forward_passes": 3,
        "tokens": 1200,
        "seconds": 0.5,
    }
    return {**entry, **more}


def measured(values: Sequence[float], **more: Any) -> dict[str, Any]:
    entry = {
        "name": "induction/accuracy",
        "version": 1,
        "unit": "share",
        "direction": "higher",
        "statistic": "mean",
        "lo": 0.0,
        "hi": 1.0,
        "clusters": [f"repeated n=20 seed=0 #{place}" for place in range(len(values))],
        "values": list(values),
    }
    return {**entry, **more}


def results(*pairs: tuple[dict[str, Any], dict[str, Any]], run: dict[str, Any] | None = None) -> Results:
    """A run that reached each check on its model."""
    models = {one["id"]: one for one, _ in pairs}
    return Results({**RUN, **(run or {})}, tuple(models.values()), tuple(one for _, one in pairs))


def main(path: str, name: str, count: int) -> None:
    """Append ``count`` runs, each with a verdict on weights of its own and one that all processes reach; say so after
    each.
    """
    history = open_history(path)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        own, shared = model(f"{name}@{number}"), model("shared")
        run = results((own, check("a/b", own["id"])), (shared, check("c/d", "shared", details={"n": number})))
        append(history, run, [[measured([number / 100] * 64)], []], kind="track", id=f"{name}-{number}")
        print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
