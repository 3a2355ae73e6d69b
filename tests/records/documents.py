"""A results document that has every part once."""

from __future__ import annotations

from typing import Any

__all__ = ["WHOLE"]

_MEASURED = {
    "verdict": "FAIL",
    "estimate": 0.9,
    "interval": [0.8, None],
    "n": 34,
    "threshold": 0.95,
    "details": {"quantity": "accuracy"},
}
_CLAIM = {"model": "zoo:a", "check": "a/b"}

WHOLE: dict[str, Any] = {
    "schema": 1,
    "run": {
        "versions": {"torch": "2"},
        "platform": "Linux",
        "seed": 0,
        "started": "2026-01-01",
        "seconds": 1.5,
        "notes": ["nothing was decided"],
        "git": {"commit": "abc", "changed": True},
        "base": None,
        "not_measured": {"zoo:a": ["c/d"]},
    },
    "models": [
        {
            "id": "zoo:a",
            "revision": None,
            "sha256": "ab" * 32,
            "architecture": "gpt2",
            "parameters": 392000,
            "dtype": "float32",
            "device": "cpu",
            "threads": 1,
            "changed": None,
        }
    ],
    "checks": [
        {
            **_CLAIM,
            **_MEASURED,
            "controls": [{"name": "unrepeated", **_MEASURED}],
            "forward_passes": 3,
            "tokens": 1200,
            "seconds": 0.5,
            "nodeid": "t::t",
            "layer": "block 1",
            "claim": "it copies",
            "claim_verdict": "FAIL",
            "direction": "higher",
            "levels": {"pass": 0.01, "fail": 0.001, "control": 0.01},
            "needed": 100,
            "reason": "so",
        }
    ],
    "profiles": [
        {
            "model": "zoo:a",
            "clusters": 128,
            "seed": 0,
            "level": 0.95,
            "figures": [
                {
                    "measure": "induction",
                    "quantity": "accuracy",
                    "value": None,
                    "interval": None,
                    "n": 0,
                    "unit": "share",
                    "note": "",
                    "approximate": False,
                    "missing": "no such site",
                    "broken": False,
                }
            ],
            "costs": {},
        }
    ],
    "baselines": [
        {
            **_CLAIM,
            "key": "a/b",
            "nodeid": "t::t",
            "status": "compared",
            "verdict": "FAIL",
            "fails": True,
            "before": 0.99,
            "now": 0.9,
            "change": -0.09,
            "interval": [None, -0.06],
            "limit": -0.05,
            "n": 34,
            "unit": "share",
            "direction": "higher",
            "approximate": False,
            "weights": {
                "before": {"sha256": "cd" * 32, "revision": None, "dtype": "float32"},
                "now": {"sha256": "ab" * 32, "revision": "main", "dtype": "float32"},
            },
            "reason": "worse",
        }
    ],
    "gates": [
        {
            "name": "release",
            "file": "release.interp.yaml",
            "node": "release.interp.yaml",
            "problem": "",
            "false_alarms": 0.01,
            "description": "before a release",
            "line": None,
            "verdict": "BLOCK",
            "models": [{"model": "zoo:a", "sha256": None, "line": 3}],
            "claims": [
                {
                    **_CLAIM,
                    "advisory": False,
                    "waiver": {"reason": "r", "owner": "o", "expires": "2026-12-31"},
                    "floor": 0.95,
                    "site": None,
                    "budget": "quick",
                    "why": "users need it",
                    "levels": {"pass": 0.01, "fail": 0.001},
                }
            ],
            "tests": [{**_CLAIM, "nodeid": "t::t", "outcome": "failed", "message": "", "asked": ["a/b floor"]}],
        }
    ],
}
