"""One traced forward pass: planned from an anatomy's routes, its taps installed for the span of the pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import torch

from ..errors import SiteNotAvailable
from . import calling
from .anatomy import Anatomy
from .edits import Edit, all_alone, carried_out, each_alone, touched
from .sites import part_of, position_axis
from .taps import hooks, joined, kernels, shared, shown
from .taps.functions import FunctionTap
from .taps.joined import JoinedTap
from .taps.kernels import KernelTap
from .taps.shared import SharedTap
from .taps.shown import ShownTap
from .taps.tap import AnyTap, Route, Tap, Watch, take

Installer = Callable[
    [torch.nn.Module, Sequence[Watch], tuple[int, int], Callable[[], None]], AbstractContextManager[None]
]
INSTALLERS: dict[type, Installer] = {
    Tap: hooks.installed,
    FunctionTap: shared.installed,
    SharedTap: shared.installed,
    JoinedTap: joined.installed,
    KernelTap: kernels.installed,
    ShownTap: shown.installed,
}
"""How each kind of tap is put into a model for one pass, and taken out again whatever happens."""


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
    grad: bool = False,
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
        grad=grad,
    )
    made = run.go()
    values = {site: made if site == "logits" else run.values[site] for site in read}
    return values, made if logits else None  # type: ignore[return-value]


class _Run:
    """The taps of one forward pass: planned from routes, installed by kind, taken off again."""

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
        grad: bool,
    ) -> None:
        self.module, self.anatomy, self.ids, self.write = module, anatomy, ids, write
        self.logits, self.grad = logits, grad
        self.positions = None if positions is None else torch.tensor(positions, device=ids.device)
        self.values: dict[str, torch.Tensor] = {}
        self.waiting = set(read)
        self.watches: dict[Installer, list[Watch]] = {}
        self.applied: set[str] = set()
        self.sliced = False
        self.aside = False
        # Within one tensor: the module's raw output first, then the addend made of it, then the sum that contains it.
        inside = [site for site in write if site != "logits"]
        for site in sorted(inside, key=lambda site: (bool(anatomy.routes[site].bases), not site.endswith("out_raw"))):
            self._plan_write(site, anatomy.routes[site], write[site])
        for site in read:
            self._plan_read(site, anatomy.routes[site])
        self._slice_before_head()

    def _plan_read(self, site: str, route: Route) -> None:
        pieces: dict[int, torch.Tensor] = {}
        axis = position_axis(site)
        stepwise = part_of(site) == "state"  # made here, not by the model, and large; no later value is made of it all

        def keep(number: int, tensor: torch.Tensor) -> None:
            tensor = tensor if self.grad else tensor.detach()
            if self.positions is None:
                # A copy, not a view: some models go on writing into the tensor that a module handed out (falcon).
                piece = tensor if stepwise else tensor.clone()
            else:
                piece = tensor.index_select(axis, self.positions.to(tensor.device))
            pieces[number] = piece.to(self.ids.device)
            if len(pieces) == len(route.read):
                self.values[site] = functools.reduce(torch.add, (pieces[part] for part in sorted(pieces)))
                self.waiting.discard(site)

        def hand_on(tensor: torch.Tensor) -> torch.Tensor:
            """The model goes on with what is kept, so that its logits have a derivative by it."""
            kept = tensor.clone() if tensor.requires_grad else tensor.detach().clone().requires_grad_()
            self.values[site] = kept
            self.waiting.discard(site)
            return kept

        if self.grad and self.positions is None:
            if stepwise:
                self._plan_differentiable_states(site, route)
            else:
                self._plan_write(site, route, [hand_on])
            return
        for number, tap in enumerate(route.read):
            self._add(tap, functools.partial(keep, number), writes=False)

    def _plan_differentiable_states(self, site: str, route: Route) -> None:
        """States follow one from another, so none can stand for all: zero is added to each of them, in one leaf, which
        is given their values afterwards. The derivative by it is that by the states.
        """
        leaf: torch.Tensor | None = None
        now = 0

        @each_alone
        def add_nothing(state: torch.Tensor) -> torch.Tensor:
            nonlocal leaf, now
            if leaf is None:
                leaf = state.new_zeros(state.shape[0], self.ids.shape[1], *state.shape[2:]).requires_grad_()
            now += 1
            return state + leaf[:, now - 1 : now]

        def fill(states: torch.Tensor) -> None:
            assert leaf is not None
            leaf.data.copy_(states.detach())  # past the graph, which holds no value of the leaf
            self.values[site] = leaf
            self.waiting.discard(site)

        self._plan_write(site, route, [add_nothing])
        self._add(route.write, fill, writes=False)

    def _plan_write(self, site: str, route: Route, edits: Sequence[Edit]) -> None:
        bases: dict[int, torch.Tensor] = {}
        stepwise = part_of(site) == "state"  # shown as often as there are steps, in a tensor of its own

        def apply(tensor: torch.Tensor) -> torch.Tensor:
            self.applied.add(site)
            value = tensor.to(self.ids.device)
            # The edit's own copy: what it writes into must not be what the sum of which it is part is compared with.
            own = value if stepwise else value.clone()
            with self._aside():
                edited = carried_out(site, edits, value, own)
            # A copy: the model may write into it, and it may be the user's own or an expanded view.
            return edited.to(tensor.device).clone()

        def remember(number: int, tensor: torch.Tensor) -> None:
            bases[number] = tensor.clone()

        def shift(addend: torch.Tensor) -> torch.Tensor:
            parts = (bases[number].to(addend.device) for number in sorted(bases))
            before = functools.reduce(torch.add, (*parts, addend))
            return addend + (apply(before) - before)

        for number, tap in enumerate(route.bases):
            self._add(tap, functools.partial(remember, number), writes=False)
        action = shift if route.bases else apply
        at = touched(site, edits, self.ids.shape[1])
        self._add(route.write, action, writes=True, positions=at, alone=all_alone(edits))

    def _add(
        self,
        tap: AnyTap,
        action: Callable[[torch.Tensor], torch.Tensor | None],
        *,
        writes: bool,
        positions: frozenset[int] | None = None,
        alone: bool = False,
    ) -> None:
        def unless_aside(tensor: torch.Tensor) -> torch.Tensor | None:
            return None if self.aside else action(tensor)

        self.watches.setdefault(INSTALLERS[type(tap)], []).append(Watch(tap, unless_aside, writes, positions, alone))

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """While an edit computes, which may run the model or parts of it (``model.unembed``), nothing is tapped."""
        self.aside = True
        try:
            yield
        finally:
            self.aside = False

    def go(self) -> torch.Tensor | None:
        """Run the pass; the logits at the chosen positions, or None where they were not wanted."""
        rows = (self.ids.shape[0], self.ids.shape[1])
        out: Any = None
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(self.grad))
            for installed, watches in self.watches.items():
                stack.enter_context(installed(self.module, watches, rows, self._stop_if_done))
            with suppress(_Enough):
                out = calling.forward(self.module, self.ids)
            if self.waiting or not self.applied >= set(self.write) - {"logits"}:
                silent = sorted(self.waiting | (set(self.write) - {"logits"} - self.applied))
                if out is not None or self.waiting:
                    raise SiteNotAvailable(
                        f"The hook of {silent[0]!r} never fired in this forward pass, so nothing is known about it."
                    )
            return self._logits_of(out) if self.logits else None

    def _logits_of(self, out: Any) -> torch.Tensor:
        logits = take(out, self.anatomy.logits_at)
        if edits := self.write.get("logits"):
            logits = carried_out("logits", edits, logits, logits.clone())
        return (
            logits
            if self.sliced or self.positions is None
            else logits.index_select(1, self.positions.to(logits.device))
        )

    def _slice_before_head(self) -> None:
        """Keep only the wanted positions before the unembedding, so that logits are made for them alone."""
        head = self.anatomy.readout_head
        if not self.logits or self.positions is None or head is None or "logits" in self.write:
            return

        def cut(hidden: torch.Tensor) -> torch.Tensor:
            assert self.positions is not None
            self.sliced = True
            return hidden.index_select(1, self.positions.to(hidden.device))

        self._add(head, cut, writes=True)

    def _stop_if_done(self) -> None:
        if not self.logits and not self.waiting and not self.aside:
            raise _Enough
