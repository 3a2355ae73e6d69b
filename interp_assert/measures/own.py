"""Measurements of one's own: a function from a model and prompts to one value per prompt, and what claims, controls and
tables need to know of it.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from ..errors import UsageProblem
from ..stats import BadMeasurement, Measurement

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["Cluster", "Clusters", "OwnMeasurement", "Stream", "measurement"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+")


@runtime_checkable
class Stream(Protocol):
    """Endless prompts, such as ``Endless`` or ``RepeatedTokenStream``."""

    def take(self, start: int, count: int) -> Sequence[Any]:
        """Prompts start .. start + count - 1, always the same ones."""


@dataclass(frozen=True)
class Cluster:
    """One prompt, which is one independent unit.

    Attributes:
        id: the prompt's own ``id``, else its place; stable.
        prompt: whatever the measuring function takes.
        place: in the stream, or in the list as it was given.
    """

    id: str
    prompt: Any
    place: int


class Clusters:
    """The prompts of a measurement in the order in which they are drawn: a stream as it comes, a list in a seeded
    order; ``size`` is None for a stream.
    """

    def __init__(self, prompts: Sequence[Any] | Stream, seed: int) -> None:
        self._stream = prompts if isinstance(prompts, Stream) else None
        self._list = () if self._stream is not None else tuple(prompts)  # type: ignore[arg-type]
        self.seed = seed
        self.size = None if self._stream is not None else len(self._list)
        generator = np.random.default_rng([seed, 0x0512])
        self._order = np.argsort(generator.random(len(self._list)), kind="stable")

    def take(self, start: int, count: int) -> list[Cluster]:
        """Clusters start .. start + count - 1, fewer where a list ends."""
        if self._stream is not None:
            drawn = self._stream.take(start, count)
            return [
                Cluster(_id_of(prompt, start + i, f"seed={self.seed}/"), prompt, start + i)
                for i, prompt in enumerate(drawn)
            ]
        places = [int(place) for place in self._order[start : start + count]]
        return [Cluster(_id_of(self._list[place], place, ""), self._list[place], place) for place in places]


@dataclass(frozen=True)
class OwnMeasurement:
    """A function of a model and prompts, made by ``@measurement``; calling it measures and decides nothing.

    Attributes: see ``measurement``.
    """

    name: str
    function: Callable[..., Any]
    prompts: Sequence[Any] | Stream | Callable[[Model, int], Sequence[Any] | Stream]
    null: Callable[[Any, np.random.Generator], Any] | None = None
    train: Callable[[Model, int], Any] | None = None
    lo: float = 0.0
    hi: float = 1.0
    direction: Literal["higher", "lower"] = "higher"
    unit: str = "score"
    version: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageProblem(f"name={self.name!r} must read owner/quantity, such as 'mine/agreement'")
        if not callable(self.function):
            raise UsageProblem(f"{self.name}: {self.function!r} is no function of a model and prompts")
        for part in ("null", "train"):
            if getattr(self, part) is not None and not callable(getattr(self, part)):
                raise UsageProblem(f"{self.name}: {part}={getattr(self, part)!r} must be a function")
        for part in ("lo", "hi"):
            if isinstance(getattr(self, part), bool) or not isinstance(getattr(self, part), (int, float)):
                raise UsageProblem(f"{self.name}: {part}={getattr(self, part)!r} must be a number")
        if not isinstance(self.unit, str) or not self.unit.strip():
            raise UsageProblem(f"{self.name}: unit={self.unit!r} must be a word, such as 'probability'")
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            raise UsageProblem(f"{self.name}: version={self.version!r} must be a whole number of at least 1")
        if self.direction not in ("higher", "lower"):
            raise UsageProblem(f"{self.name}: direction={self.direction!r} must be 'higher' or 'lower'")
        if not self.lo < self.hi:
            raise UsageProblem(f"{self.name}: the range [{self.lo}, {self.hi}] is empty; lo must be below hi")

    def __call__(self, model: Model, prompts: Sequence[Any]) -> Measurement:
        """Measure on these prompts, in order, one cluster each."""
        clusters = [Cluster(_id_of(prompt, place, ""), prompt, place) for place, prompt in enumerate(prompts)]
        return self.measure(model, clusters, trained=self.trained(model, 0))

    @property
    def bounded(self) -> bool:
        """Whether the range is finite, so that a mean can be decided exactly."""
        return isfinite(self.lo) and isfinite(self.hi)

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring, else its name."""
        text = " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())
        return text.rstrip(".") or self.name

    def clusters(self, model: Model, seed: int, prompts: Any = None) -> Clusters:
        """Its prompts (or ``prompts`` in their place) for this model and seed."""
        chosen = self.prompts if prompts is None else prompts
        if callable(chosen) and not isinstance(chosen, Stream):
            chosen = chosen(model, seed)
        if isinstance(chosen, np.ndarray):  # which has a method take, as a stream has
            chosen = list(chosen)
        if not isinstance(chosen, (Stream, Sequence)) or isinstance(chosen, (str, bytes)):
            raise UsageProblem(
                f"{self.name}: prompts must be a list, an Endless stream, or a function of a model and a seed that "
                f"returns one, not {type(chosen).__name__}"
            )
        if isinstance(chosen, Sequence):
            self._refuse_repeats(chosen)
        return Clusters(chosen, seed)

    def fixed(self, prompts: Any = None) -> bool:
        """Whether its prompts (or ``prompts`` in their place) are a list that does not depend on the model."""
        return isinstance(self.prompts if prompts is None else prompts, (Sequence, np.ndarray))

    def _refuse_repeats(self, prompts: Sequence[Any]) -> None:
        seen: dict[bytes, int] = {}
        for place, prompt in enumerate(prompts):
            try:
                first = seen.setdefault(pickle.dumps(prompt), place)
            except Exception:  # whatever cannot be written down cannot be told from others
                continue
            if first != place:
                raise UsageProblem(
                    f"{self.name}: prompt {place} is prompt {first} again; each is an independent unit: give it once"
                )

    def trained(self, model: Model, seed: int) -> tuple[Any, ...]:
        """What ``train`` makes of this model, as further arguments of the function; empty without ``train``."""
        return () if self.train is None else (self.train(model, seed),)

    def measure(self, model: Model, clusters: Sequence[Cluster], *, trained: tuple[Any, ...] = ()) -> Measurement:
        """One value per cluster.

        Raises BadMeasurement for another number of values or one out of range, NonFiniteMeasurement naming the cluster.
        """
        return self._measured(model, [cluster.prompt for cluster in clusters], clusters, self.name, trained)

    def measure_null(
        self, model: Model, clusters: Sequence[Cluster], *, seed: int, trained: tuple[Any, ...] = ()
    ) -> Measurement:
        """The same on each cluster's null input, which depends on the seed and the cluster's place only."""
        if self.null is None:
            raise UsageProblem(f"{self.name} has no null input; declare one with @measurement(..., null=...)")
        nulls = [
            self.null(cluster.prompt, np.random.default_rng([seed, 0x2011, cluster.place])) for cluster in clusters
        ]
        return self._measured(model, nulls, clusters, f"{self.name} on null input", trained)

    def _measured(
        self, model: Model, prompts: list[Any], clusters: Sequence[Cluster], name: str, trained: tuple[Any, ...]
    ) -> Measurement:
        with model.metered() as span:
            values = as_values(self.function(model, prompts, *trained), name)
        if values.shape != (len(clusters),):
            raise BadMeasurement(
                f"{name}: {len(clusters)} prompts went in and values of shape {values.shape} came out; return one "
                "number for each prompt, in order"
            )
        ids = tuple(cluster.id for cluster in clusters)
        return Measurement(name, self.version, ids, values, self.lo, self.hi, self.unit, self.direction, cost=span.cost)


def measurement(
    name: str,
    *,
    prompts: Sequence[Any] | Stream | Callable[[Model, int], Sequence[Any] | Stream],
    null: Callable[[Any, np.random.Generator], Any] | None = None,
    train: Callable[[Model, int], Any] | None = None,
    lo: float = 0.0,
    hi: float = 1.0,
    direction: Literal["higher", "lower"] = "higher",
    unit: str = "score",
    version: int = 1,
) -> Callable[[Callable[..., Any]], OwnMeasurement]:
    """Make a measurement of a function ``(model, prompts) -> one value per prompt``.

    Args:
        name: ``owner/quantity``; the id of the check in tables and results.
        prompts: a list (claims are then about that list), an ``Endless`` stream, or a function of a model and a seed
            that returns one. Each prompt is one independent unit, and may be anything that the function understands.
        null: makes the null input of a prompt: the same without what is claimed. It is given the prompt and a random
            generator. With it a claim needs no floor, and has a paired control.
        train: a function of a model and a seed; what it returns is a further argument of the function. It is called
            anew for every random-weights twin. Keep its data apart from ``prompts``.
        lo, hi: the range of a value. If one of them is infinite, claims are about the share of prompts instead of the
            mean.
        direction: which way is better.
        unit: of a value, as tables show it.
        version: of the definition; raise it when the same model would get other numbers.

    Raises UsageProblem for a name without an owner, an empty range, an unknown direction, and for what is no function.
    """

    def made(function: Callable[..., Any]) -> OwnMeasurement:
        return OwnMeasurement(name, function, prompts, null, train, lo, hi, direction, unit, version)

    return made


def as_values(returned: Any, name: str) -> np.ndarray:
    """What a function returned as float64: a number, a list, an array or a tensor on any device.

    Raises BadMeasurement for anything else: text that reads like numbers, None.
    """
    plain = returned.detach().cpu() if hasattr(returned, "detach") else returned
    if hasattr(plain, "double"):
        plain = plain.double().numpy()
    try:
        found = np.asarray(plain)
        if found.dtype.kind not in "biufO" or any(item is None or isinstance(item, str) for item in found.ravel()):
            raise TypeError(
                f"{found.dtype.name} values" if found.dtype.kind != "O" else "None or text among the values"
            )
        return found.astype(np.float64)
    except (TypeError, ValueError) as problem:
        raise BadMeasurement(
            f"{name}: the function returned {type(returned).__name__}, which is no array of numbers ({problem}): "
            "return a number, a list, an array or a tensor"
        ) from problem


def _id_of(prompt: Any, place: int, prefix: str) -> str:
    own = getattr(prompt, "id", None)
    return own if isinstance(own, str) else f"{prefix}{place}"
