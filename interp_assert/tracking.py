"""Ask claims about models and append what they reach to a history, without pytest."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .assertions.catalogue import QUICK_CLAIMS, ask, claims_named
from .models import load, parse_id, preflight
from .models.sources.ids import each_of
from .records import Results, model_entry, run_provenance
from .records.history import Appended, History, append
from .records.measured import measurement_entry
from .stats import Budget, Verdict

__all__ = ["results_of", "track"]


def track(
    ids: Sequence[str],
    history: History,
    *,
    claims: Sequence[str] = QUICK_CLAIMS,
    budget: str = "standard",
    seed: int = 0,
    **loading: Any,
) -> Iterator[tuple[Results, Appended]]:
    """Open each model in turn, ask the claims, append the results as a run, and let it go: a run that is broken off
    has lost one model at most.

    Every id is looked at, and the history proven writable, before the first model is measured. ``ids`` may stand for
    several models (``zoo:NAME@all``, a folder of checkpoints); ``loading`` are options of ``load``.

    Raises UsageProblem (or another InterpError) for what cannot be opened, measured or written.
    """
    wanted = list(dict.fromkeys(each for some in ids for each in each_of(some)))
    claims_named(claims)
    Budget.named(budget)
    for id in wanted:
        preflight(id, **loading)
    history.prove_writable()
    for id in wanted:
        started, clock = datetime.now(timezone.utc), time.monotonic()
        model = load(id, **loading)
        verdicts = ask(model, claims, budget=budget, seed=seed)
        model.verify_unchanged()
        entry = model_entry(parse_id(id).id, model.provenance())
        results, measured = results_of(entry, verdicts, seed=seed, started=started, clock=clock)
        yield results, append(history, results, measured, kind="track")
        del model
        gc.collect()


def results_of(
    model: dict[str, Any], verdicts: Sequence[Verdict], *, seed: int, started: datetime, clock: float
) -> tuple[Results, list[list[dict[str, Any]]]]:
    """The results document of verdicts on one model, and the measurements of each; ``clock`` is ``time.monotonic()`` at
    the start.
    """
    run = {
        **run_provenance(Path.cwd()),
        "seed": seed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - clock,
    }
    checks = tuple({**verdict.as_dict(), "model": model["id"]} for verdict in verdicts)
    measured = [[measurement_entry(one) for one in verdict.measurements] for verdict in verdicts]
    return Results(run, (model,), checks), measured
