"""``python tests/zoo/promised.py RESULTS...``: whether runs over the zoo said what the cards promise, of all models and
suites that they were asked for.

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
ALL = "zoo:all"


def promises() -> dict[str, dict[str, str]]:
    """Per model the verdict of each check that its card names."""
    return {
        f"zoo:{name}": json.loads((open_model(name) / FIGURES).read_text(encoding="utf-8"))["verdicts"]
        for name in names()
    }


def asked(results: dict[str, Any], promised: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """What is promised of the models and suites of a run."""
    options = results["run"]["options"]
    models = [id for listed in options["model"] for id in listed.split(",")]
    suites = options["suites"].split(",")
    return {
        model: {check: verdict for check, verdict in promised[model].items() if check.split("/")[0] in suites}
        for model in (promised if ALL in models else models)
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
        for model, verdicts in asked(results, promised).items()
        for check in sorted({*verdicts, *said[model]})
        if verdicts.get(check) != said[model].get(check)
    ]


def main() -> int:
    promised = promises()
    complaints, kept = [], 0
    for path in sys.argv[1:]:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
        found = broken(results, promised)
        kept += sum(len(verdicts) for verdicts in asked(results, promised).values()) - len(found)
        complaints += found
    print(f"the zoo's cards: {kept} verdicts as promised", *complaints, sep="\n  ")
    return int(bool(complaints) or not kept)


if __name__ == "__main__":
    sys.exit(main())
