"""Which measurements a profile has: those that ship with interp-assert, those that are registered, and what the
entry-point group ``interp_assert.measures`` brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UsageProblem
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..measures import OwnMeasurement

__all__ = [
    "GROUP",
    "SHIPPED",
    "own_measurements",
    "profiled_measures",
    "register_measurement",
    "shipped_measurements",
]

GROUP = "interp_assert.measures"

SHIPPED = (
    "interp_assert.profiles.induction:MEASURE",
    "interp_assert.profiles.lens:MEASURE",
    "interp_assert.profiles.probes:TRUTH",
    "interp_assert.profiles.probes:SENTIMENT",
    "interp_assert.profiles.probes:TENSE",
    "interp_assert.profiles.probes:NUMBER",
    "interp_assert.profiles.steering:MEASURE",
    "interp_assert.profiles.coders:MEASURE",
    "interp_assert.profiles.drift:OUTPUT",
    "interp_assert.profiles.drift:RESIDUAL",
    "interp_assert.profiles.drift:WEIGHTS",
)
"""where each measurement's entry is, in the order of the columns"""

_registered: dict[str, OwnMeasurement | ProfiledMeasure] = {}

Brought = TypeVar("Brought", "OwnMeasurement", "ProfiledMeasure")


def register_measurement(measure: Brought) -> Brought:
    """Make a measurement a column of every profile and, if it was made by ``@measurement``, a claim of the suite
    ``controls``, in this process: in a ``conftest.py``, say. (A package declares an entry point instead.)

    Returns it, so it can stand as a decorator above ``@measurement``. One of the same name takes its place. Raises
    UsageProblem for anything else.
    """
    _as_measure(measure, "what is registered")
    _registered[measure.name] = measure
    return measure


def profiled_measures(only: Sequence[str] | None = None, *, base: bool = False) -> list[ProfiledMeasure]:
    """All of them but the costly (and, without a ``base``, those that need one), or those named: shipped ones first,
    then registered ones, then those of other packages by name.

    An entry point loads to a measurement made by ``@measurement`` or to a ProfiledMeasure. Raises UsageProblem for an
    unknown name, a named one that needs a base where there is none, two of one name, an entry point that is neither.
    """
    known: dict[str, ProfiledMeasure] = {}
    for place, loaded in (*_shipped(), *_brought()):
        measure = _as_measure(loaded, place)
        if measure.name in known:
            raise UsageProblem(f"two measurements have the name {measure.name!r}; the second is from {place}")
        known[measure.name] = measure
    if only is None:
        return [measure for measure in known.values() if not measure.costly and (base or not measure.needs_base)]
    for name in only:
        if name not in known:
            raise UsageProblem(f"no measurement {name!r}; a profile can have {', '.join(known)}")
        if known[name].needs_base and not base:
            raise UsageProblem(f"{name} needs a model to be measured against; give base= (--base ID)")
    return [known[name] for name in dict.fromkeys(only)]


def shipped_measurements() -> list[str]:
    """The ids of those that ship and that every model is asked by itself; each is a check of a shipped suite."""
    return [measure.name for _, measure in _shipped() if not measure.costly and not measure.needs_base]


def own_measurements() -> list[OwnMeasurement]:
    """Those that are made by ``@measurement`` and that were registered or that other packages bring, by the name of
    their entry points.
    """
    from ..measures import OwnMeasurement

    return [loaded for _, loaded in _brought() if isinstance(loaded, OwnMeasurement)]


def _shipped() -> list[tuple[str, Any]]:
    places = [place.partition(":") for place in SHIPPED]
    return [(module, getattr(import_module(module), name)) for module, _, name in places]


def _brought() -> list[tuple[str, Any]]:
    return [*((f"register_measurement({name})", measure) for name, measure in _registered.items()), *_of_packages()]


def _of_packages() -> list[tuple[str, Any]]:
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [(f"the entry point {entry.name} = {entry.value}", entry.load()) for entry in found]


def _as_measure(loaded: Any, place: str) -> ProfiledMeasure:
    from ..measures import OwnMeasurement
    from .own import profiled

    if isinstance(loaded, OwnMeasurement):
        return profiled(loaded)
    if isinstance(loaded, ProfiledMeasure):
        return loaded
    raise UsageProblem(
        f"{place} is a {type(loaded).__name__}; in {GROUP} belongs a measurement made by @measurement, or a "
        "ProfiledMeasure"
    )
