"""docs/calibration.md, written from the counts of a full run and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from .family import NULLS, POSITIVES, TRAINED, Family, Tally, upper_bound
from .rule import MISS

__all__ = ["PAGE", "RESULTS", "entry", "read", "render", "write"]

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "calibration.md"

_KINDS = ("null", "boundary", "positive")

ORACLES = (
    ("O1", "GPT-2 written by hand that does induction with a dial", "tests/measures/test_induction_measure.py"),
    ("O2", "Llama written by hand: rotary positions, shared keys", "tests/measures/test_induction_measure.py"),
    ("O3", "probes of Gaussian classes, in closed form", "tests/measures/test_probes.py"),
    ("O4", "coders known on paper: PCA as ReLU latents, thresholds, shrinkage, TopK on noise",
     "tests/coders/test_variance_explained.py"),
    ("O5", "logit lens of a GPT-2 whose blocks write known amounts", "tests/measures/test_lens_measure.py"),
    ("O9", "drift by a known vector in one block's bias", "tests/measures/test_drift_measure.py"),
    ("O11", "steering of a linear model", "tests/measures/test_steering_measure.py"),
)  # fmt: skip


def entry(family: Family, counted: Tally) -> dict[str, Any]:
    """One row of the results."""
    return {key: getattr(family, key) for key in ("claim", "name", "kind", "level", "planned")} | asdict(counted)


def read() -> dict[str, Any]:
    """The counts of the latest full run."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def write(results: Mapping[str, Any]) -> None:
    """Keep the counts, and the page that they make."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(render(results), encoding="utf-8")


_HEAD = f"""# Calibration

Written by `python -m calibration` in `tests` from the counts of a full run (`tests/calibration/results.json`); do not
edit. CI repeats a part of every row below, `INTERP_CALIBRATION=1 pytest tests/calibration` all of it.

A claim is calibrated by runs of which the right decision is known. *End to end* goes from a model through the assertion
to its verdict, twins and all controls included. *Scores* draws the scores of clusters from a known distribution and
puts them through the same gates and controls.

- **Interior nulls**: what is claimed is false, and none of {NULLS} may PASS: then the rate is below 0.01 with 95 %
  confidence. Of coders, which are trained anew on every twin, {TRAINED} go end to end and the others are drawn as
  scores. Where a row names several nulls, they take turns.
- **Boundary**: what is claimed is just false, the worst case. A binomial test must not reject a rate of PASS of at most
  the level, 0.01; nor one of FAIL of at most 0.001, where FAIL is wrong too. p is that of the first test.
- **Positives**: what is claimed is true. All {POSITIVES} must PASS: then the power is above 0.9 with 95 % confidence.

**One rule puts all positives and nulls where they are, before any is run** (`tests/calibration/rule.py`): a positive
lies where the theory of its gate predicts one miss in {round(1 / MISS):,} runs, given the distribution of one cluster's
score and the clusters that the run may draw (*planned*); a null lies as far on the other side.

- Exact gates: the normal approximation of the best bet's log-wealth, over all planned clusters.
- t-tests: that many standard errors from the limit at the last look; of a limit that must hold at several blocks, at
  each of them.
- Twins: the noncentral t distribution.
- Where the scale ends first, its end: no noise on planted atoms, every prompt steerable. There the rule sets the number
  of groups, or the width, instead.

The theory knows no outcomes, and nothing is moved after one was seen: a dial that moves, because the code or the rule
did, asks for a new run of the whole claim, and a test holds this page to it.

In small, for one gate at its boundary, where PASS is wrong and may happen in one run of a hundred:

```python
import numpy as np
from interp_assert.stats import Outcome, SequentialGate

rng = np.random.default_rng(0)
outcomes = [SequentialGate(0.5).update(rng.integers(0, 2, 512)) for _ in range(200)]
print(outcomes.count(Outcome.PASS), "of 200 PASS")
```"""

_ORACLES = """## Oracles

Models and data whose figures are known on paper; each is a test."""

_MUTANTS = """## Code mutants

Known ways to get a figure wrong are put into the code one by one, and a check that the real code passes must fail.
Killed: **{killed} of {made}**."""


def render(results: Mapping[str, Any]) -> str:
    """The page."""
    rows, mutants = results["families"], results["mutants"]
    claims = list(dict.fromkeys(row["claim"] for row in rows))
    by_claim = [part for claim in claims for part in (f"## {claim[0].upper()}{claim[1:]}", _claim(rows, claim))]
    parts = [
        _HEAD,
        "## All claims",
        _summary(rows, claims),
        *by_claim,
        _ORACLES,
        _table(("oracle", "what it is", "test"), [(a, b, f"`{c}`") for a, b, c in ORACLES]),
        _MUTANTS.format(killed=sum(each["killed"] for each in mutants), made=sum(each["made"] for each in mutants)),
        _table(
            ("tests", "mutants", "killed"),
            [(f"`{each['tests']}`", each["made"], each["killed"]) for each in mutants],
            numbers=2,
        ),
        "Made with " + ", ".join(f"{name} {version}" for name, version in results["made_with"].items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> str:
    """Markdown; the last ``numbers`` columns to the right."""
    marks = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, marks, *rows))


def _summary(rows: Sequence[Mapping[str, Any]], claims: Sequence[str]) -> str:
    """PASS / FAIL / neither by claim and kind."""

    def counts(claim: str, kind: str) -> str:
        some = [row for row in rows if row["claim"] == claim and row["kind"] == kind]
        return " / ".join(f"{sum(row[key] for row in some):,}" for key in ("passed", "failed", "open"))

    head = ("claim", *(f"{kind}: PASS / FAIL / neither" for kind in _KINDS))
    return _table(head, [(claim, *(counts(claim, kind) for kind in _KINDS)) for claim in claims], numbers=3)


def _claim(rows: Sequence[Mapping[str, Any]], claim: str) -> str:
    some = [row for kind in _KINDS for row in rows if row["claim"] == claim and row["kind"] == kind]
    head = ("what is true", "kind", "level", "planned", "runs", "PASS", "FAIL", "neither", "says")
    shown = [
        (
            row["name"],
            row["kind"],
            row["level"],
            row["planned"],
            f"{row['runs']:,}",
            row["passed"],
            row["failed"],
            row["open"],
            _says(row),
        )
        for row in some
    ]
    return _table(head, shown, numbers=5)


def _says(row: Mapping[str, Any]) -> str:
    """What the counts bound, with 95 % confidence; at the boundary the p-value of a rate of at most .01."""
    runs, passed = int(row["runs"]), int(row["passed"])
    if row["kind"] == "null":
        return f"rate < {upper_bound(passed, runs):.3f}"
    if row["kind"] == "positive":
        return f"power > {1.0 - upper_bound(runs - passed, runs):.3f}"
    return f"p = {binomtest(passed, runs, 0.01, alternative='greater').pvalue:.2f}"
