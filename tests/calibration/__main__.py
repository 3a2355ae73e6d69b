"""``python -m calibration [CLAIM ...]``, in ``tests``: the calibration in full, or that of some claims, and its page.

``mutants`` among the claims counts the code mutants. What is left out keeps the counts of the run before.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from typing import Any

import torch

from .claims import CLAIMS, NAMES, families_of
from .family import faults, tally
from .mutants import PLACES, killed
from .page import RESULTS, entry, read, write

MADE_WITH = ("numpy", "scipy", "torch", "transformers")


def main(asked: list[str]) -> int:
    torch.set_num_threads(1)
    unknown = set(asked) - {*CLAIMS, "mutants"}
    if unknown:
        print(f"no claim {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}, mutants", file=sys.stderr)
        return 2
    results = read() if RESULTS.exists() else {"families": [], "mutants": []}
    said: list[str] = []
    for claim in asked or CLAIMS:
        if claim not in CLAIMS:
            continue
        new = []
        for family in families_of(claim):
            started = time.process_time()
            counted = tally(family, family.full)
            new.append(entry(family, counted))
            said += faults(family, counted)
            print(f"{family.id}: {counted}, {time.process_time() - started:.0f} s", file=sys.stderr, flush=True)
        results["families"] = in_order([row for row in results["families"] if row["claim"] != new[0]["claim"]] + new)
        results["made_with"] = {name: version(name) for name in MADE_WITH}
        write(results)
    if not asked or "mutants" in asked:
        results["mutants"] = [killed(place) for place in PLACES]
        said += [f"{each['tests']}: a mutant survives" for each in results["mutants"] if each["killed"] < each["made"]]
        write(results)
    print("\n".join(said) or "nothing to object to", file=sys.stderr)
    return 1 if said else 0


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Claims in the order of the page, each with its rows as they are."""
    names = [NAMES[claim] for claim in CLAIMS]
    return sorted(rows, key=lambda row: names.index(row["claim"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
