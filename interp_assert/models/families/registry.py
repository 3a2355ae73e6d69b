"""Which family a module belongs to: registered for its class or for one that it inherits from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from ...errors import ModelRefused, UsageProblem
from .family import NOTHING, Family

if TYPE_CHECKING:
    import torch

__all__ = ["GROUP", "Supplied", "family_of", "register_family", "supplied", "supplies"]

GROUP = "interp_assert.families"
"""Entry points of packages that register families: ``model_type = "package.module"``, imported when a directory of that
model_type is opened."""

BUILT_IN: tuple[str, ...] = ("rwkv",)
"""The modules of this package that register a family each; imported when the first module is asked about."""

Declaration = Callable[[Any], Family]


@dataclass(frozen=True)
class Supplied:
    """The class that opens directories of a model_type, and how one is built from config.json (None: as arguments)."""

    module_class: type[torch.nn.Module]
    build: Callable[[dict[str, Any]], torch.nn.Module] | None


_declared: dict[type | str, Declaration] = {}
_supplied: dict[str, Supplied] = {}
_imported: set[str] = set()


def register_family(
    module_class: type[torch.nn.Module] | str,
    *,
    model_type: str | None = None,
    build: Callable[[dict[str, Any]], torch.nn.Module] | None = None,
) -> Callable[[Declaration], Declaration]:
    """Decorate a function ``(module) -> Family`` to state what holds for modules of a class, and of those that inherit
    from it.

    ``module_class`` is the class, or its name (``"GRULanguageModel"``, ``"package.module.GRULanguageModel"``) where the
    class should not be imported for it. A class that is registered again is registered anew.

    With ``model_type``, ``load`` opens directories whose config.json has that model_type: with ``build(config)`` (the
    keys of config.json), by default ``module_class(**config)``; a class of transformers' kind with its config_class.
    The module that registers must have been imported by then: by a conftest.py, or by an entry point of the group
    ``interp_assert.families`` whose name is the model_type.

    Raises UsageProblem for a model_type that is transformers' own or belongs to another class.
    """
    if not isinstance(module_class, type | str):
        what = f"an instance of {type(module_class).__name__}: its class is meant"
        what = what if hasattr(module_class, "forward") else repr(module_class)
        raise UsageProblem(f"a family is registered for a class or the name of one, not {what}")
    if model_type is not None:
        _reserve(model_type, module_class)

    def register(declare: Declaration) -> Declaration:
        if not callable(declare):
            raise UsageProblem(f"register_family decorates a function (module) -> Family, not {declare!r}")
        _declared[module_class] = declare
        if model_type is not None and isinstance(module_class, type):
            _supplied[model_type] = Supplied(module_class, build)
        return declare

    return register


def family_of(module: torch.nn.Module) -> Family:
    """What is stated about ``module``: nothing, unless a family was registered for its class."""
    for name in BUILT_IN:
        _import(f"{__package__}.{name}")
    for base in type(module).__mro__:
        for key in (base, f"{base.__module__}.{base.__qualname__}", base.__name__):
            if key in _declared:
                stated = _declared[key](module)
                if not isinstance(stated, Family):
                    raise UsageProblem(
                        f"the family registered for {base.__name__} returned {type(stated).__name__}; it must "
                        "return a Family"
                    )
                return stated
    return NOTHING


def prepare(module: torch.nn.Module) -> None:
    """What its family does to a module that was just opened, if anything."""
    stated = family_of(module).prepare
    if stated is not None:
        stated(module)


def supplies(model_type: Any) -> bool:
    """Whether a class is registered for this model_type, or a package says that it will register one."""
    return model_type in _supplied or model_type in _promised()


def supplied(model_type: Any) -> Supplied | None:
    """What is registered for a model_type of config.json; imports the package that promised it."""
    if model_type not in _supplied and (promise := _promised().get(model_type)) is not None:
        promise.load()
        if model_type not in _supplied:
            raise ModelRefused(
                f"model_type {model_type!r}: the entry point {promise.value} promised a class for it and registered "
                "none; call register_family(..., model_type=...) there"
            )
    return _supplied.get(model_type)


def _promised() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _reserve(model_type: str, module_class: type | str) -> None:
    from .architectures import known

    if not isinstance(module_class, type):
        raise UsageProblem(
            f"model_type {model_type!r} needs the class itself to open directories with, not the name {module_class!r}"
        )
    if known(model_type):
        raise UsageProblem(f"model_type {model_type!r} is an architecture of transformers; choose another name")
    if model_type not in _supplied:
        return
    other = _supplied[model_type].module_class
    if other.__qualname__ != module_class.__qualname__:  # a notebook runs its cell again
        raise UsageProblem(
            f"model_type {model_type!r} belongs to {other.__module__}.{other.__qualname__} already; choose another name"
        )


def _import(name: str) -> None:
    if name not in _imported:
        _imported.add(name)
        import_module(name)
