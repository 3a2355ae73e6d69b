"""Taps inside kernels: functions that a mixer calls to carry out its recurrence, which no hook sees into.

For the span of one pass the name under which a mixer finds its kernel is bound to a stand-in. In the blocks that are
asked for it runs a registered form of the kernel (``families.forms``), which shows the state after each step; in all
others, and in other threads, the kernel itself.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from ..families.forms import Form, forms_of, kernel_names
from .seeing import See
from .tap import Watch

__all__ = ["KernelTap", "bound", "form_for", "installed", "observed", "result_of"]

RESULT = "ssm.y"
Stand = Callable[..., Any]
Compare = Callable[[Any, torch.Tensor, torch.Tensor], None]


@dataclass(frozen=True)
class KernelTap:
    """A value that a form of ``kernel`` shows: in the ``count``-th call of it while the block at ``path`` runs (its
    ``nth`` execution, where it runs several times). ``site`` is the site's part of a name; ``shape`` its axes.
    """

    path: str
    kernel: str
    count: int
    site: str
    nth: int | None = None
    shape: str = ""


@dataclass
class _Frame:
    """One execution of a block under watch, and how often each kernel was called in it so far."""

    nth: int
    watches: Sequence[Watch]
    counts: Counter[str] = field(default_factory=Counter)


class _Pass:
    """One pass with watched kernels: the running blocks, outermost first. While a watch acts, nothing is watched: an
    edit may run a model of its own.
    """

    def __init__(self, rows: tuple[int, int], after: Callable[[], None], compare: Compare | None = None) -> None:
        self.rows, self.after, self.compare = rows, after, compare
        self.frames: list[_Frame] = []
        self.thread, self.acting = threading.get_ident(), False

    @property
    def idle(self) -> bool:
        return self.acting or threading.get_ident() != self.thread

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.acting = True
        try:
            with (
                torch._C.DisableTorchFunction()
            ):  # what is done here is not the model's: function taps must not count it
                yield
        finally:
            self.acting = False

    def carry_out(self, name: str, kernel: Stand, args: Any, kwargs: Any) -> Any:
        """The kernel, or the form of it that shows what is watched in the running block."""
        if self.idle or not self.frames:
            return kernel(*args, **kwargs)
        frame = self.frames[-1]
        count = frame.counts[name]
        frame.counts[name] += 1
        here: dict[str, list[Watch]] = {}
        for watch in frame.watches:
            tap = watch.tap
            assert isinstance(tap, KernelTap)
            if tap.kernel == name and tap.count == count and tap.nth in (None, frame.nth):
                here.setdefault(tap.site, []).append(watch)
        if not here:
            return kernel(*args, **kwargs)
        form = form_for(name, here)
        see = See(kernel, form.sites, here, self.rows, self.aside)
        out = form.run(see, *args, **kwargs)
        see.finish()
        if RESULT in here and RESULT not in form.sites:
            out = _with_result_seen(see, out)
        if self.compare is not None:
            for watch in (watch for watches in here.values() for watch in watches):
                self.compare(watch.tap, result_of(out), result_of(kernel(*args, **kwargs)))
        self.after()
        return out

    def follow(self, block: torch.nn.Module, watches: Sequence[Watch]) -> list[Any]:
        """Hooks that say when a block under watch is running."""
        count = 0

        def enter(_block: torch.nn.Module, _args: Any) -> None:
            nonlocal count
            if not self.idle:
                self.frames.append(_Frame(count, watches))
                count += 1

        def leave(_block: torch.nn.Module, _args: Any, _out: Any) -> None:
            if not self.idle:
                self.frames.pop()

        return [block.register_forward_pre_hook(enter), block.register_forward_hook(leave)]


def form_for(kernel: str, sites: Iterable[str]) -> Form:
    """Of the forms of a kernel that show all of ``sites``, the one that shows least; the result needs no form."""
    forms = [*forms_of(kernel), Form(kernel, (), lambda see, *args, **kwargs: see.kernel(*args, **kwargs), "")]
    wanted = set(sites)
    if not any(RESULT in form.sites for form in forms):
        wanted.discard(RESULT)
    return min((form for form in forms if wanted <= set(form.sites)), key=lambda form: len(form.sites))


def result_of(out: Any) -> torch.Tensor:
    """What a kernel returns, or the first thing that it returns: (batch, pos, ...)."""
    return out[0] if isinstance(out, tuple | list) else out


def _with_result_seen(see: See, out: Any) -> Any:
    """A kernel's result is the mixer's output before gate, norm and projection: shown as (batch, pos, d_inner)."""
    whole = result_of(out)
    seen = see(whole.flatten(2), RESULT).reshape(whole.shape)
    return seen if out is whole else type(out)((seen, *out[1:]))


@contextmanager
def installed(
    module: torch.nn.Module,
    watches: Sequence[Watch],
    rows: tuple[int, int],
    after: Callable[[], None],
    compare: Compare | None = None,
) -> Iterator[None]:
    """Stand-ins for the kernels of all ``watches``; the kernels are back afterwards, whatever happens.

    ``rows`` is (batch, pos) of the pass; ``after`` is called whenever a watched kernel has run. ``compare`` is called
    with each tap, what its form gave and what the kernel gives for the same arguments.
    """
    by_path: dict[str, list[Watch]] = {}
    for watch in watches:
        by_path.setdefault(watch.tap.path, []).append(watch)
    this = _Pass(rows, after, compare)
    with ExitStack() as stack:
        for path, here in by_path.items():
            for handle in this.follow(module.get_submodule(path), here):
                stack.callback(handle.remove)
        for name in {watch.tap.kernel for watch in watches}:  # type: ignore[attr-defined]
            stack.enter_context(bound(module, name, this.carry_out))
        yield


@contextmanager
def observed(module: torch.nn.Module, note: Callable[[str], Callable[[Any, Any, Any], None]]) -> Iterator[None]:
    """``note(name)`` is called whenever a kernel that has a form is about to run; what it gives, with the kernel's
    arguments, keywords and result, when it has run.
    """

    def carry_out(name: str, kernel: Stand, args: Any, kwargs: Any) -> Any:
        done = note(name)
        out = kernel(*args, **kwargs)
        done(args, kwargs, out)
        return out

    with ExitStack() as stack:
        for name in kernel_names():
            stack.enter_context(bound(module, name, carry_out))
        yield


@contextmanager
def bound(module: torch.nn.Module, name: str, carry_out: Callable[[str, Stand, Any, Any], Any]) -> Iterator[None]:
    """Bind a kernel's name to a stand-in, wherever the mixers of ``module`` find it."""
    with ExitStack() as stack:
        for owner, attribute in _owners(module, name):
            found = vars(owner)[attribute]
            stand = _stand_in(name, found.__func__ if isinstance(found, staticmethod) else found, carry_out)
            stack.callback(setattr, owner, attribute, found)
            setattr(owner, attribute, staticmethod(stand) if isinstance(found, staticmethod) else stand)
            if attribute == "forward" and isinstance(owner, type):
                for part in (part for part in module.modules() if isinstance(part, owner)):
                    _bind_kept(stack, name, part, carry_out)
        yield


def _bind_kept(
    stack: ExitStack, name: str, part: torch.nn.Module, carry_out: Callable[[str, Stand, Any, Any], Any]
) -> None:
    """accelerate keeps the ``forward`` that a module had and calls it by that reference."""
    kept = vars(part).get("_old_forward")
    if kept is not None:
        stand = _stand_in(name, lambda _part, *args, **kwargs: kept(*args, **kwargs), carry_out)
        stack.callback(setattr, part, "_old_forward", kept)
        part._old_forward = functools.partial(stand, part)  # type: ignore[assignment]


def _stand_in(name: str, kernel: Stand, carry_out: Callable[[str, Stand, Any, Any], Any]) -> Stand:
    @functools.wraps(kernel)
    def stand(*args: Any, **kwargs: Any) -> Any:
        return carry_out(name, kernel, args, kwargs)

    return stand


def _owners(module: torch.nn.Module, name: str) -> list[tuple[ModuleType | type, str]]:
    """The modules or classes in whose namespace a kernel's name is, among those that define the parts of ``module``."""
    where, _, qualified = name.rpartition(":")
    homes = [where] if where else _homes(module)
    owners: dict[int, tuple[ModuleType | type, str]] = {}
    for home in homes:
        *classes, attribute = qualified.split(".")
        owner: Any = sys.modules.get(home)
        for step in classes:
            owner = vars(owner).get(step) if owner is not None else None
        if owner is not None and callable(getattr(owner, attribute, None)) and attribute in vars(owner):
            owners[id(owner)] = owner, attribute
    return list(owners.values())


def _homes(module: torch.nn.Module) -> list[str]:
    kinds = {type(part) for part in module.modules()}
    return list(dict.fromkeys(base.__module__ for kind in kinds for base in kind.__mro__))
