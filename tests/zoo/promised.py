"""``python tests/zoo/promised.py RESULTS``: whether a run over the zoo said what the cards promise, and of every model.

RESULTS is what ``pytest --interp-model=zoo:all --interp-suites=circuits,lens --interp-json RESULTS`` wrote.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from interp_fixtures.zoo import names, open_model
from interp_fixtures.zoo.card import FIGURES

APPLICABLE = {"PASS", "FAIL", "INCONCLUSIVE"}


def promises() -> dict[str, dict[str, str]]:
    """Per model the verdict of each check that its card names."""
    return {
        f"zoo:{name}": json.loads((open_model(name) / FIGURES).read_text(encoding="utf-8"))["verdicts"]
        for name in names()
    }


def broken(results: dict[str, Any], promised: dict[str, dict[str, str]]) -> list[str]:
    """A sentence for each verdict that is not the card's."""
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for check in results["checks"]:
        if check["verdict"] in APPLICABLE:
            said[check["model"]][check["check"]] = check["verdict"]
    return [
        f"{model}: the card promises {check} {verdicts.get(check, 'no verdict')}, "
        f"the run says {said[model].get(check, 'nothing')}"
        for model, verdicts in promised.items()
        for check in sorted({*verdicts, *said[model]})
        if verdicts.get(check) != said[model].get(check)
    ]


def main() -> int:
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    promised = promises()
    complaints = broken(results, promised)
    kept = sum(len(verdicts) for verdicts in promised.values()) - len(complaints)
    print(f"the zoo's cards: {kept} verdicts as promised", *complaints, sep="\n  ")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
