"""Claims by the names that the shipped suites give them, for whoever asks them without pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import UsageProblem
from ..stats import Budget, ErrorLevels, Verdict
from .engine import whole_budget
from .errors import InterpAssertionError
from .induction import assert_induction
from .lens_crossover import assert_lens_crossover
from .probe_auroc import assert_probe_auroc
from .recording import recording
from .variance_explained import assert_sae_variance_explained

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CLAIMS", "QUICK_CLAIMS", "Claim", "ask", "claims_named"]

Claim = Callable[..., Any]
"""``claim(model, budget=, levels=, seed=)`` reaches verdicts, as ``assert_*`` do"""


def _probe(data: str) -> Claim:
    def claim(model: Model, **settings: Any) -> Verdict:
        return assert_probe_auroc(model, data, **settings)

    return claim


CLAIMS: Mapping[str, Claim] = {
    "circuits/induction": assert_induction,
    "lens/crossover": assert_lens_crossover,
    "coders/variance_explained": assert_sae_variance_explained,
    **{f"probes/{data}": _probe(data) for data in ("truth", "sentiment", "tense", "number")},
}
"""what the suites of these names claim by default"""

QUICK_CLAIMS = ("circuits/induction", "lens/crossover")
"""a second or two each on a small model"""


def claims_named(names: Sequence[str | Claim]) -> list[Claim]:
    """The claims of these names; a function is a claim itself. Raises UsageProblem naming those there are."""
    for name in names:
        if not callable(name) and name not in CLAIMS:
            raise UsageProblem(f"no claim {name!r}; there are {', '.join(CLAIMS)}, and functions of your own")
    return [name if callable(name) else CLAIMS[name] for name in dict.fromkeys(names)]


def ask(
    model: Model,
    claims: Sequence[str | Claim],
    *,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
) -> list[Verdict]:
    """Every verdict that the claims reach on the model, whatever it is, each on the whole budget, so that it compares
    with that of another step or another day.

    Raises UsageProblem for an unknown claim and what cannot be measured at all (InterpError).
    """
    heard: list[Verdict] = []
    for claim in claims_named(claims):
        with recording(heard.append), whole_budget(), suppress(InterpAssertionError):
            claim(model, budget=budget, levels=levels, seed=seed)
    return heard
