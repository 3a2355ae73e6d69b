"""Profiles of several models as one results document, without pytest."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .models import load, parse_id, preflight
from .models.sources.ids import each_of
from .profiles import profile, profiled_measures
from .records import Results, model_entry, run_provenance

__all__ = ["profile_run"]


def profile_run(
    ids: Sequence[str],
    *,
    budget: str = "standard",
    seed: int = 0,
    only: Sequence[str] | None = None,
    base: str | None = None,
    **loading: Any,
) -> Results:
    """Open each model in turn, measure it, and let it go. Every id is looked at before the first is measured.

    ``ids`` may stand for several models (``zoo:all``); ``loading`` are options of ``load``.

    Raises UsageProblem (or another InterpError) for what cannot be opened or measured.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    wanted = list(dict.fromkeys(each for some in ids for each in each_of(some)))
    profiled_measures(only)
    for id in (*wanted, *([] if base is None else [base])):
        preflight(id, **loading)
    reference = None if base is None else load(base, **loading)
    models, profiles = [], []
    for id in wanted:
        model = load(id, **loading)
        profiles.append(profile(model, budget=budget, seed=seed, only=only, base=reference).as_dict())
        models.append(model_entry(parse_id(id).id, model.provenance()))
        model.verify_unchanged()
        del model
        gc.collect()
    run = {
        **run_provenance(Path.cwd()),
        "seed": seed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - clock,
    }
    return Results(run, tuple(models), (), tuple(profiles))
