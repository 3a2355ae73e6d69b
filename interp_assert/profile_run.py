"""Profiles of several models as one results document, without pytest."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .assertions.asked import budget_of, seed_of
from .errors import InterpError, ModelChanged
from .models import Model, load, parse_id, preflight
from .models.sources.ids import each_of
from .profiles import profile, profiled_measures
from .profiles.making import unmeasured
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

    ``ids`` may stand for several models (``zoo:all``); ``loading`` are options of ``load``. A model that turns out to
    be damaged only when it is opened costs the others nothing: its figures are ``broken``, for that reason.

    Raises UsageProblem (or another InterpError) for ids, options or a base with which nothing can be measured.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    wanted = list(dict.fromkeys(each for some in ids for each in each_of(some)))
    profiled_measures(only, base=base is not None)
    budget_of(budget)
    for id in (*wanted, *([] if base is None else [base])):
        preflight(id, **loading)
    reference = None if base is None else load(base, **loading)
    models, profiles = [], []
    asked: dict[str, Any] = {"budget": budget, "seed": seed_of(seed), "only": only}
    for id in wanted:
        try:
            model = load(id, **loading)
            facts = model.provenance()  # which opens it
        except InterpError as problem:
            profiles.append(unmeasured(parse_id(id).id, problem, **asked, base=base is not None).as_dict())
            continue
        profiles.append(profile(model, **asked, base=reference).as_dict())
        models.append(model_entry(parse_id(id).id, facts, _changed(model)))
        del model
        gc.collect()
    run = {
        **run_provenance(Path.cwd()),
        "seed": seed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - clock,
    }
    return Results(run, tuple(models), (), tuple(profiles))


def _changed(model: Model) -> str | None:
    try:
        model.verify_unchanged()
    except ModelChanged as problem:
        return str(problem)
    return None
