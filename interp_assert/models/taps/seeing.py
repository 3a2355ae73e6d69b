"""What a form of a kernel is given to show values with: a state at every step, or a whole tensor once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from ...errors import SiteNotAvailable
from .tap import Watch

__all__ = ["See"]


class See:
    """Called with a value it returns the one to go on with: the same, or what an edit made of it.

    ``kernel`` is the function that the form stands for. ``states`` are the states so far (batch, pos, ...).
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        sites: Sequence[str],
        watches: Mapping[str, Sequence[Watch]],
        rows: tuple[int, int],
        aside: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.kernel, self.sites, self.watches, self.rows = kernel, sites, watches, rows
        self.aside = aside
        self.editors = [watch for watch in watches.get("state", ()) if watch.writes]
        self.readers = [watch for watch in watches.get("state", ()) if not watch.writes]
        self.now = 0
        self.steps: list[torch.Tensor] = []
        self.whole: torch.Tensor | None = None
        self.buffer: torch.Tensor | None = None
        self.scratch: torch.Tensor | None = None
        self.filled, self.version = 0, 0

    def __call__(self, value: torch.Tensor, site: str | None = None) -> torch.Tensor:
        """Show the state after one more step (batch, ...), or another site's whole value (batch, pos, ...)."""
        site = self.sites[0] if site is None else site
        if site == "state":
            return self._step(value)
        for watch in self.watches.get(site, ()):
            value = self._edited(watch, value)
        return value

    def walk(
        self,
        decay: torch.Tensor,
        write: torch.Tensor,
        by: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
    ) -> Iterator[torch.Tensor]:
        """Each state (batch, ...) of ``h[t] = decay[:, t] * h[t - 1] + write[:, t] * by[:, t]``, after it was shown.

        All are (batch, pos, ...) and broadcast against each other: a rank-1 write is given as its two factors. ``by``
        is 1 and ``initial`` (batch, ...) zero if not given.
        """
        state = initial
        factors = None if by is None else by.unbind(1)
        for now, (keep, new) in enumerate(zip(decay.unbind(1), write.unbind(1), strict=True)):
            if self.whole is not None and state is not None and now:
                state = self._in_place(keep, state, new, None if factors is None else factors[now])
            else:
                new = new if factors is None else new * factors[now]
                state = self._step(new if state is None else keep * state + new, kept=bool(self.readers))
            yield state

    def _in_place(
        self, keep: torch.Tensor, state: torch.Tensor, new: torch.Tensor, by: torch.Tensor | None
    ) -> torch.Tensor:
        """One more state, made where it is kept, by the operations of the other path: their bits must be the same."""
        assert self.whole is not None
        self._expect(state)
        here = torch.mul(keep, state, out=self.whole[:, self.now])
        self.now += 1
        if by is not None:
            if self.scratch is None:
                self.scratch = torch.empty_like(here)
            new = torch.mul(new, by, out=self.scratch)
        return here.add_(new)

    @property
    def states(self) -> torch.Tensor:
        """The states shown by ``see(state)`` so far (batch, pos, ...), as the recurrence went on with them."""
        if self.whole is not None:
            return self.whole[:, : self.now]
        return torch.stack(self.steps, 1)

    def finish(self) -> None:
        """Hand all states to those who read them; the pass is over its positions."""
        if "state" not in self.sites or "state" not in self.watches:
            return
        if self.now != self.rows[1]:
            raise SiteNotAvailable(
                f"The form of the kernel showed {self.now} states in a pass over {self.rows[1]} positions; "
                "it must call see(state) once for each position."
            )
        for watch in self.readers:
            self._edited(watch, self.states)

    def _step(self, state: torch.Tensor, *, kept: bool = True) -> torch.Tensor:
        now = self.now
        self._expect(state)
        for watch in self.editors:
            if watch.alone:
                state = self._edited(watch, state.unsqueeze(1)).squeeze(1)
            elif watch.positions is None or now in watch.positions:
                state = self._edited(watch, self._so_far(state))[:, now].clone()  # a view would keep all alive
        if self.editors or (kept and torch.is_grad_enabled()):
            self.steps.append(state)
        elif kept:
            if self.whole is None:
                self.whole = state.new_empty(state.shape[0], self.rows[1], *state.shape[1:])
            self.whole[:, now] = state
        self.now += 1
        return state

    def _expect(self, state: torch.Tensor) -> None:
        if self.now >= self.rows[1] or state.shape[0] != self.rows[0]:
            raise SiteNotAvailable(
                f"The form of the kernel showed a state of shape {tuple(state.shape)} at step {self.now} of a pass "
                f"over (batch, pos) = {self.rows}; it must show one state (batch, ...) for each position."
            )

    def _so_far(self, state: torch.Tensor) -> torch.Tensor:
        """The states up to this one, and zeros where none is yet (batch, pos, ...)."""
        now, length = self.now, self.rows[1]
        if torch.is_grad_enabled():
            return torch.stack([*self.steps, state, *[torch.zeros_like(state)] * (length - now - 1)], 1)
        if self.buffer is None or self.buffer._version != self.version:  # not there yet, or an edit wrote into it
            self.buffer = state.new_zeros(state.shape[0], length, *state.shape[1:])
            self.filled = 0
        for position in range(self.filled, now):
            self.buffer[:, position] = self.steps[position]
        self.filled = now
        self.buffer[:, now] = state
        self.version = self.buffer._version
        return self.buffer

    def _edited(self, watch: Watch, value: torch.Tensor) -> torch.Tensor:
        with self.aside():
            edited = watch.action(value)
        return value if edited is None else edited
