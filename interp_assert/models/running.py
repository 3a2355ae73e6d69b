"""One forward pass with its hooks: planned from an anatomy's routes, put on modules, taken off whatever happens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch

from ..errors import SiteNotAvailable
from . import calling
from .anatomy import Anatomy
from .edits import Edit, checked
from .patterns import PatternMode, is_pattern
from .taps import PatternTap, Route, Tap, put, take

Action = Callable[[torch.Tensor], torch.Tensor | None]


class _Enough(Exception):
    """Everything asked for has been seen: the rest of the forward pass is not needed."""


def trace_module(
    module: torch.nn.Module,
    anatomy: Anatomy,
    ids: torch.Tensor,
    read: Sequence[str],
    write: Mapping[str, Sequence[Edit]],
    positions: list[int] | None,
    *,
    logits: bool,
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """The bare traced pass: no checks of its arguments, no proofs, no metering."""
    run = _Run(
        module,
        anatomy,
        ids,
        [site for site in read if site != "logits"],
        write,
        positions,
        logits=logits or "logits" in read,
    )
    made = run.go()
    values = {site: made if site == "logits" else run.values[site] for site in read}
    return values, made if logits else None  # type: ignore[return-value]


class _Run:
    """The hooks of one forward pass: planned from routes, put on modules, taken off again."""

    def __init__(
        self,
        module: torch.nn.Module,
        anatomy: Anatomy,
        ids: torch.Tensor,
        read: Sequence[str],
        write: Mapping[str, Sequence[Edit]],
        positions: list[int] | None,
        *,
        logits: bool,
    ) -> None:
        self.module, self.anatomy, self.ids, self.write, self.logits = module, anatomy, ids, write, logits
        self.positions = None if positions is None else torch.tensor(positions, device=ids.device)
        self.values: dict[str, torch.Tensor] = {}
        self.waiting = set(read)
        self.at_tap: dict[tuple[str, str], list[tuple[Tap, Action]]] = {}
        self.at_pattern: dict[str, list[tuple[PatternTap, Action]]] = {}
        self.applied: set[str] = set()
        self.sliced = False
        # Within one tensor: the module's raw output first, then the addend made of it, then the sum that contains it.
        inside = [site for site in write if site != "logits"]
        for site in sorted(inside, key=lambda site: (bool(anatomy.routes[site].bases), not site.endswith("out_raw"))):
            self._plan_write(site, anatomy.routes[site], write[site])
        for site in read:
            self._plan_read(site, anatomy.routes[site])

    def _plan_read(self, site: str, route: Route) -> None:
        pieces: dict[int, torch.Tensor] = {}

        def keep(number: int, tensor: torch.Tensor) -> None:
            # A copy, not a view: some models go on writing into the tensor that a module handed out (falcon).
            axis = 2 if isinstance(route.write, PatternTap) else 1
            chosen = None if self.positions is None else self.positions.to(tensor.device)
            pieces[number] = tensor.detach().clone() if chosen is None else tensor.detach().index_select(axis, chosen)
            if len(pieces) == len(route.read):
                self.values[site] = functools.reduce(torch.add, (pieces[part] for part in sorted(pieces)))
                self.waiting.discard(site)

        for number, tap in enumerate(route.read):
            self._add(tap, functools.partial(keep, number))

    def _plan_write(self, site: str, route: Route, edits: Sequence[Edit]) -> None:
        bases: dict[int, torch.Tensor] = {}

        def apply(tensor: torch.Tensor) -> torch.Tensor:
            self.applied.add(site)
            for edit in edits:
                tensor = checked(site, edit(tensor), tensor)
            return tensor.clone()  # the model may write into it, and it may be the user's own or an expanded view

        def remember(number: int, tensor: torch.Tensor) -> None:
            bases[number] = tensor.clone()

        def shift(addend: torch.Tensor) -> torch.Tensor:
            before = functools.reduce(torch.add, (*(bases[number] for number in sorted(bases)), addend))
            return addend + (apply(before) - before)

        for number, tap in enumerate(route.bases):
            self._add(tap, functools.partial(remember, number))
        self._add(route.write, shift if route.bases else apply)

    def _add(self, tap: Tap | PatternTap, action: Action) -> None:
        if isinstance(tap, PatternTap):
            self.at_pattern.setdefault(tap.path, []).append((tap, action))
        else:
            self.at_tap.setdefault((tap.path, tap.side), []).append((tap, action))

    def go(self) -> torch.Tensor | None:
        """Run the pass; the logits at the chosen positions, or None where they were not wanted."""
        handles: list[Any] = []
        out: Any = None
        try:
            with ExitStack() as stack, torch.no_grad():
                if self.at_pattern:
                    mode = stack.enter_context(PatternMode())
                    handles += self._watch_patterns(mode)
                for (path, side), actions in self.at_tap.items():
                    handles.append(self._hook(path, side, actions))
                self._slice_before_head(handles)
                with suppress(_Enough):
                    out = calling.forward(self.module, self.ids)
        finally:
            for handle in handles:
                handle.remove()
        if self.waiting or not self.applied >= set(self.write) - {"logits"}:
            silent = sorted(self.waiting | (set(self.write) - {"logits"} - self.applied))
            if out is not None or self.waiting:
                raise SiteNotAvailable(
                    f"The hook of {silent[0]!r} never fired in this forward pass, so nothing is known about it."
                )
        if not self.logits:
            return None
        logits = take(out, self.anatomy.logits_at)
        for edit in self.write.get("logits", ()):
            logits = checked("logits", edit(logits), logits)
        return (
            logits
            if self.sliced or self.positions is None
            else logits.index_select(1, self.positions.to(logits.device))
        )

    def _hook(self, path: str, side: str, actions: list[tuple[Tap, Action]]) -> Any:
        count = 0

        rows = (self.ids.shape[0], self.ids.shape[1])

        def act(tree: Any, tap: Tap, action: Action) -> Any:
            tensor = take(tree, tap.where)
            site = tap.to_site(tensor, rows, self.module)
            edited = action(site)
            return tree if edited is None else put(tree, tap.where, tap.from_site(edited, site, tensor, self.module))

        def run(module: torch.nn.Module, args: Any, kwargs: Any, out: Any = None) -> Any:
            nonlocal count
            nth, count = count, count + 1
            for tap, action in actions:
                if tap.nth is not None and tap.nth != nth:
                    continue
                if side == "output":
                    out = act(out, tap, action)
                elif isinstance(tap.where[0], int):
                    args = act(args, tap, action)
                else:
                    kwargs = act(kwargs, tap, action)
            self._stop_if_done()
            return out if side == "output" else (args, kwargs)

        target = self.module.get_submodule(path)
        if side == "output":
            return target.register_forward_hook(run, with_kwargs=True)
        return target.register_forward_pre_hook(run, with_kwargs=True)

    def _watch_patterns(self, mode: PatternMode) -> list[Any]:
        handles = []
        rows = (self.ids.shape[0], self.ids.shape[1])
        for path, actions in self.at_pattern.items():
            counter = iter(range(1 << 30))

            def before(_module: torch.nn.Module, _args: Any, actions: Any = actions, counter: Any = counter) -> None:
                nth = next(counter)

                def handle(probabilities: torch.Tensor) -> torch.Tensor:
                    for tap, action in actions:
                        if (tap.nth is None or tap.nth == nth) and is_pattern(
                            probabilities, tap.heads, tap.merged, *rows
                        ):
                            pattern = probabilities.reshape(rows[0], tap.heads, *probabilities.shape[-2:])
                            edited = action(pattern)
                            probabilities = probabilities if edited is None else edited.reshape(probabilities.shape)
                    return probabilities

                mode.enter(handle)

            def after(_module: torch.nn.Module, _args: Any, _out: Any) -> None:
                mode.leave()
                self._stop_if_done()

            target = self.module.get_submodule(path)
            handles.append(target.register_forward_pre_hook(before))
            handles.append(target.register_forward_hook(after))
        return handles

    def _slice_before_head(self, handles: list[Any]) -> None:
        """Keep only the wanted positions before the unembedding, so that logits are made for them alone."""
        head = self.anatomy.readout_head
        if not self.logits or self.positions is None or head is None or "logits" in self.write:
            return

        def cut(hidden: torch.Tensor) -> torch.Tensor:
            assert self.positions is not None
            self.sliced = True
            return hidden.index_select(1, self.positions.to(hidden.device))

        handles.append(self._hook(head.path, head.side, [(head, cut)]))

    def _stop_if_done(self) -> None:
        if not self.logits and not self.waiting:
            raise _Enough
