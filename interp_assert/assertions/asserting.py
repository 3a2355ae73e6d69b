"""``@asserted``: what every ``assert_*`` has in common around its own work.

Inside it a verdict knows what was asked, and where somebody remembers verdicts, one that was reached before on the same
weights with the same arguments is concluded again without a forward pass.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

from .addresses import NoAddress, address_of
from .engine import measures_whole_budget
from .recording import asking, conclude, recording

if TYPE_CHECKING:
    from ..stats import Asked, Verdict

__all__ = ["Memory", "asserted", "remembering"]

P = ParamSpec("P")

JUDGING = frozenset(
    {
        *("model", "budget", "seed"),  # which stand elsewhere
        *("check", "name", "levels", "twins", "scheme"),
        *("floor", "limit", "margin", "share", "pi", "slope", "delta", "nll_budget", "neutral"),
        *("total_variation", "agreement", "kl", "residual", "cosine", "cka", "weights", "claims_lost"),
    }
)
"""arguments that do not change what is measured, or that are told elsewhere"""

_SHORT = 40


class Memory(Protocol):
    """Who remembers verdicts: the pytest plugin puts a cache on disk here."""

    def recall(self, address: Any) -> Verdict | None:
        """The verdict that was kept under this address, if there is one that can be trusted."""

    def keep(self, address: Any, verdict: Verdict) -> None:
        """Remember a verdict under its address."""


_memory: ContextVar[Memory | None] = ContextVar("interp_assert_memory", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Inside the ``with`` block every assertion asks ``memory`` before it measures, and tells it its verdict after."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def asserted(function: Callable[P, Verdict]) -> Callable[P, Verdict]:
    """Decorate an ``assert_*`` that ends in ``conclude``."""
    signature = inspect.signature(function)
    name = function.__name__

    @functools.wraps(function)
    def claim(*args: P.args, **kwargs: P.kwargs) -> Verdict:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own words about what is missing or unknown
        bound.apply_defaults()
        given = bound.arguments
        with asking(_asked(signature, given)):
            memory = _memory.get()
            address = None if memory is None else _address(name, given)
            if memory is None or address is None:
                return function(*args, **kwargs)
            known = memory.recall(address)
            if known is not None:
                return conclude(known)
            heard: list[Verdict] = []
            try:
                with recording(heard.append):
                    return function(*args, **kwargs)
            finally:
                if len(heard) == 1:
                    memory.keep(address, heard[0])

    return claim


def _address(name: str, given: Mapping[str, Any]) -> Any:
    """None for a call that has none, which is then measured as ever."""
    try:
        arguments = {argument: address_of(value) for argument, value in given.items()}
    except (NoAddress, RecursionError):
        return None
    return {"assertion": name, "arguments": arguments, "whole_budget": measures_whole_budget()}


def _asked(signature: inspect.Signature, given: Mapping[str, Any]) -> Asked:
    from ..errors import UsageProblem
    from ..stats import Asked
    from .asked import budget_of

    parameters = {
        name: shown
        for name, value in given.items()
        if name not in JUDGING and (shown := _shown(value, signature.parameters[name].default)) is not None
    }
    seed, clusters = given.get("seed"), None
    if "budget" in given:
        try:
            clusters = budget_of(given["budget"]).clusters
        except UsageProblem:  # the assertion itself says so, before it measures anything
            clusters = None
    return Asked(parameters, clusters, seed if isinstance(seed, int) else None)


def _shown(value: Any, default: Any) -> str | None:
    """A value that differs from its default, in a few characters; what is longer, by a digest of its content."""
    if value is default or (isinstance(value, (bool, int, float, str)) and value == default):
        return None
    for named in (getattr(value, "id", None), getattr(value, "name", None)):
        if isinstance(named, str):
            return named
    parts = list(value) if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(part, (bool, int, float, str)) for part in parts):
        text = ",".join(str(part) for part in parts)
        if len(text) <= _SHORT:
            return text
    try:
        content = json.dumps(address_of(value), sort_keys=True)
    except (NoAddress, RecursionError):
        return getattr(value, "__name__", type(value).__name__)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
