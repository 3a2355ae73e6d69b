"""Hypothesis strategies for whoever tests what is inside a model: token ids, positions, sites and edits, and the search
for the smallest input on which something goes wrong.

    from hypothesis import given
    from interp_assert.strategies import for_budget, token_ids

    @for_budget("quick")
    @given(ids=token_ids(model))
    def my_identity_holds(ids): ...

Nothing else of interp-assert imports hypothesis.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from .errors import SiteNotAvailable, UsageProblem
from .stats import Budget

if TYPE_CHECKING:
    import torch

    from .models import Model

__all__ = ["DrawnEdit", "Smallest", "edits", "for_budget", "n_examples", "positions", "sites", "smallest", "token_ids"]

T = TypeVar("T")
R = TypeVar("R")

CLUSTERS_PER_EXAMPLE, FEWEST = 64, 4
"""An example is a batch, run several times over: quick, standard and thorough budgets allow 4, 8 and 64 of them."""


def n_examples(budget: Budget | str) -> int:
    """How many examples a budget allows: one for every 64 of its clusters, at least four."""
    clusters = (Budget.named(budget) if isinstance(budget, str) else budget).clusters
    return max(FEWEST, clusters // CLUSTERS_PER_EXAMPLE)


def for_budget(budget: Budget | str, *, seed: int = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Settings for a test made with ``@given``: derandomised, no deadline, no database, examples by ``budget``.

    The same budget and seed give the same examples.
    """

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        return with_seed(seed)(_settings(n_examples(budget))(test))

    return decorate


def token_ids(
    model: Model, *, rows: tuple[int, int] = (1, 4), length: tuple[int, int] = (2, 12), distinct: bool = False
) -> st.SearchStrategy[torch.Tensor]:
    """Token ids (batch, pos) on the model's device, all within its vocabulary and context.

    They are ordinary ids (``prompts.token_pool``): no special, added, byte-fallback or unused ones. ``rows`` and
    ``length`` are the least and the most; a context that is shorter bounds the length, and so does the vocabulary if
    the ids of a row are to be ``distinct``. Shrinks to few, short rows of the first ids. Raises UsageProblem if the
    pool has fewer than two ids.
    """
    import torch

    from .prompts import token_pool

    pool = [int(i) for i in token_pool(model).ids]
    if len(pool) < 2:
        raise UsageProblem(f"{model.id}: its vocabulary has {len(pool)} ordinary ids; two at least are needed")
    most = length[1] if model.max_positions is None else min(length[1], model.max_positions)
    most = min(most, len(pool)) if distinct else most
    lengths, batches = st.integers(min(length[0], most), most), st.integers(*rows)
    ordinary = st.integers(0, len(pool) - 1).map(pool.__getitem__)

    @st.composite
    def ids(draw: st.DrawFn) -> torch.Tensor:
        positions, batch = draw(lengths), draw(batches)
        row = st.lists(ordinary, min_size=positions, max_size=positions, unique=distinct)
        return torch.tensor(draw(st.lists(row, min_size=batch, max_size=batch)), device=model.device)

    return ids()


def positions(ids: torch.Tensor, *, first: int = 0) -> st.SearchStrategy[int]:
    """A position of the ids (batch, pos), ``first`` or later. Shrinks towards ``first``."""
    return st.integers(first, ids.shape[1] - 1)


def sites(model: Model, pattern: str = "*") -> st.SearchStrategy[str]:
    """A site of the model that fits the pattern (``blocks.*.attn.out``). Shrinks towards the first that is computed.

    Raises SiteNotAvailable if none does.
    """
    fitting = [site for site in model.anatomy.sites if fnmatch.fnmatchcase(site, pattern)]
    if not fitting:
        model.anatomy.resolve(pattern)  # names what there is
        raise SiteNotAvailable(f"{model.id} has no site that fits {pattern!r}")
    return st.sampled_from(fitting)


@dataclass(frozen=True)
class DrawnEdit:
    """An edit of ``models.edits`` that shows what it is: ``scale(-2.0)``."""

    name: str
    number: float | None = None

    def __call__(self, site: torch.Tensor) -> torch.Tensor:
        from .models import edits

        make = getattr(edits, self.name)
        edited: torch.Tensor = (make() if self.number is None else make(self.number))(site)
        return edited

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.number is None else self.number})"


def edits() -> st.SearchStrategy[DrawnEdit]:
    """An edit that fits every site: it scales, adds a number, or ablates by zero or by the mean over the batch."""
    factor = st.sampled_from([-1.0, 0.5, 2.0, -3.0])
    amount = st.sampled_from([1.0, -1.0, 0.25, 4.0])
    return st.one_of(
        factor.map(lambda number: DrawnEdit("scale", number)),
        amount.map(lambda number: DrawnEdit("add", number)),
        st.sampled_from([DrawnEdit("zero"), DrawnEdit("mean")]),
    )


@dataclass(frozen=True)
class Smallest:
    """The smallest example found on which something goes wrong, and what was said of it."""

    example: Any
    failure: Any
    tried: int


def smallest(
    strategy: st.SearchStrategy[T],
    failure: Callable[[T], R | None],
    *,
    budget: Budget | str = "standard",
    examples: int | None = None,
    seed: int = 0,
    shrinks: int = 60,
) -> Smallest | None:
    """The smallest example of ``strategy`` of which ``failure`` says something, or None if it says None of all.

    ``examples`` (by default as ``budget`` allows) are tried; once one fails, at most ``shrinks`` further ones, so
    that a search on a large model ends. Examples are told apart by their ``repr``; each is tried once. The same seed
    tries the same ones, whatever else is imported.
    """
    said: dict[str, R | None] = {}
    left = shrinks

    def fails(example: T) -> bool:
        nonlocal left
        key = repr(example)
        if key not in said:
            if any(result is not None for result in said.values()):
                if left <= 0:
                    return False
                left -= 1
            said[key] = failure(example)
        return said[key] is not None

    chosen = _settings(examples or n_examples(budget))
    try:
        with _whatever_else_is_imported():
            example = find(strategy, fails, settings=chosen, random=Random(seed))
    except NoSuchExample:
        return None
    return Smallest(example, said[repr(example)], len(said))


@contextmanager
def _whatever_else_is_imported() -> Iterator[None]:
    """Newer releases of hypothesis also draw numbers that they find in the source of the user's own modules. The same
    seed would then try other examples wherever other modules are imported, or where this package is installed to be
    edited."""
    try:
        providers: Any = import_module("hypothesis.internal.conjecture.providers")
        look = providers._get_local_constants
    except (ImportError, AttributeError):  # older releases draw from the strategy alone
        yield
        return
    nothing = providers.Constants()
    providers.CONSTANTS_CACHE.cache.clear()
    providers._get_local_constants = lambda: nothing
    try:
        yield
    finally:
        providers._get_local_constants = look
        providers.CONSTANTS_CACHE.cache.clear()


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
