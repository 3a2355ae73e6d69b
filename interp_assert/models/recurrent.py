"""Stepping: one token at a time through a model's own cache, the other way to the states of its recurrent mixers.

It shares nothing with the taps inside kernels (``kernels``): other functions of the model run, and the states are those
that the model keeps for itself. It is slow and edits come a step late, so it is for checking.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import torch

from ..errors import BadEdit, SiteNotAvailable, UsageProblem
from . import calling
from .opened import OpenModel
from .taps.kernels import bound
from .taps.tap import take

__all__ = ["Stepped", "Stepper", "step_through"]

CACHES = ("past_key_values", "cache_params", "state")
"""What models call their cache, as an argument and in their results."""


@dataclass(frozen=True)
class Stepped:
    """``states[site]`` (batch, pos, ...) after each step, as read before any edit, and logits (batch, pos, vocab)."""

    states: dict[str, torch.Tensor]
    logits: torch.Tensor


class Stepper:
    """A model on its way through ``batch`` sequences, a token each per step.

    ``clamp``: where the full pass of a model clamps the time step dt and its own step does not (mamba2, zamba2,
    nemotron_h with a finite ``time_step_limit``), clamp it in the step too, instead of refusing to go on.

    Let no other pass of the model come between two steps: some models keep their state in their modules.

    Raises UsageProblem for a model in training mode, and for a batch that the model's own step cannot keep apart.
    """

    def __init__(self, model: OpenModel, batch: int = 1, *, clamp: bool = False) -> None:
        self.model, self.batch, self.position = model, batch, 0
        self._blocks = model.anatomy.blocks  # found now: a pass between two steps would change what modules keep
        self.module = model.module
        if self.module.training:
            raise UsageProblem("The model is in training mode, in which it may keep no cache; call .eval() first.")
        self._accepted = inspect.signature(self.module.forward).parameters
        if batch > 1 and not self.keeps_rows_apart:
            raise UsageProblem(
                f"{model.id}: a step of this {model.architecture} mixes the rows of a batch of {batch}; "
                "step with batch=1, one row after the other (step_through does)."
            )
        self._name = next((name for name in CACHES if name in self._accepted), None)
        if self._name is None:
            raise UsageProblem(f"{model.id}: {model.class_name} takes no cache, so it cannot be stepped through.")
        self._cache: Any = None
        self._clamp = clamp

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether a step is right for more than one row: not where the cache is RWKV-4's list of tensors, whose token
        shift (batch, d) is broadcast against (batch, 1, d)."""
        return "state" not in self._accepted

    def step(self, ids: Any) -> torch.Tensor:
        """Feed one token per row: ids (batch,). Returns logits (batch, vocab).

        Raises UsageProblem for several tokens at once, for which some models restart their recurrence from zero
        without a word, and where the model's step leaves out a clamp of dt that its full pass has.
        """
        ids = torch.as_tensor(ids)
        if tuple(ids.shape) not in ((self.batch,), (self.batch, 1)):
            raise UsageProblem(
                f"A step takes one token for each of {self.batch} rows: ids (batch,), not {tuple(ids.shape)}; on a "
                "cache that holds something, several tokens at once restart the recurrence of some models."
            )
        ids = calling.as_ids(
            ids.reshape(self.batch, 1),
            vocab_size=self.model.vocab_size,
            max_positions=None,
            device=self.model.device,
            model=self.model.id,
        )
        with torch.no_grad(), _clamped(self.module, self.position, self._clamp):
            out = self._forward(ids)
        self.position += 1
        return take(out, calling.logits_location(out, self.batch, 1))[:, 0]

    @property
    def sites(self) -> list[str]:
        """The ``blocks.{i}.state`` that the cache holds after the steps so far."""
        return [f"blocks.{block.index}.state" for block in self._blocks if self._live(block.index)[0]]

    def state(self, site: str) -> torch.Tensor:
        """A copy of a block's recurrent state (batch, ...), laid out as the site is at one position."""
        parts, axis = self._live(self._block(site))
        return torch.cat(parts, axis)

    def put(self, site: str, value: torch.Tensor) -> None:
        """Replace a block's recurrent state: what is changed after step t is first felt at position t + 1.

        Raises BadEdit for a value that has not the state's shape, or is not finite.
        """
        parts, axis = self._live(self._block(site))
        shape = tuple(torch.cat(parts, axis).shape)
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != shape:
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise BadEdit(f"The state {site!r} of {self.batch} rows is a tensor of shape {shape}, not {what}.")
        if not value.isfinite().all():
            raise BadEdit(f"What is put into {site!r} holds values that are not finite.")
        with torch.no_grad():
            for part, new in zip(parts, value.split([part.shape[axis] for part in parts], axis), strict=True):
                part.copy_(new)

    def _forward(self, ids: torch.Tensor) -> Any:
        assert self._name is not None
        options: dict[str, Any] = {"use_cache": True}
        if "position_ids" in self._accepted:  # some models count from 0 again in every step if they are left out
            options["position_ids"] = torch.full_like(ids, self.position)
        if self._cache is None:
            # Modules that keep a state in themselves forget it in a pass without a cache.
            calling.forward(self.module, ids)
        else:
            options[self._name] = self._cache
        out = self.module(input_ids=ids, **options)
        carried = next((found for name in CACHES if (found := getattr(out, name, None)) is not None), None)
        if carried is not None:
            self._cache = carried
        elif self._cache is None:  # made inside and not handed out
            self._cache = _empty_cache(self.module)
            out = self._forward_again(ids, options)
        return out

    def _forward_again(self, ids: torch.Tensor, options: dict[str, Any]) -> Any:
        calling.forward(self.module, ids)
        return self.module(input_ids=ids, **options, **{str(self._name): self._cache})

    def _block(self, site: str) -> int:
        if site not in self.sites:
            raise SiteNotAvailable(
                f"The cache holds no {site!r} after {self.position} steps; it holds: {', '.join(self.sites) or 'none'}."
            )
        return int(site.split(".")[1])

    def _live(self, number: int) -> tuple[list[torch.Tensor], int]:
        """The tensors, in the model's own cache, that joined along an axis are the recurrent state of a block; writing
        into them counts."""
        block = self.module.get_submodule(self._blocks[number].path)
        cache = self._cache
        if isinstance(cache, list) and len(cache) == 5:  # rwkv: two shifted inputs, numerator, denominator, maximum
            return [part[:, :, number].unsqueeze(1) for part in cache[2:]], 1
        if hasattr(cache, "rnn_state"):  # xlstm: memory, normaliser, maximum
            return [part.flatten(2) for part in cache.rnn_state[number]], -1
        for index in {getattr(part, "layer_idx", None) for part in block.modules()}:
            if isinstance(index, int) and (kept := _kept(cache, index)) is not None:
                apart = any(getattr(getattr(part, "A_log", None), "ndim", 0) == 3 for part in block.modules())
                return [kept.flatten(1, 2) if apart else kept], 1  # zamba keeps the heads of a scan apart
        inside = [getattr(part, "recurrent_states", None) for part in block.modules()]
        return [kept for kept in inside if isinstance(kept, torch.Tensor)], 1


def _kept(cache: Any, index: int) -> torch.Tensor | None:
    """The recurrent state of a layer in a cache of transformers."""
    linear, layers = getattr(cache, "linear_cache", []), getattr(cache, "layers", [])
    if index < len(linear) and isinstance(linear[index], torch.Tensor):
        return linear[index]
    states = getattr(layers[index], "recurrent_states", None) if index < len(layers) else None
    return states.get(0) if states else None


def step_through(
    model: OpenModel, ids: Any, after: Callable[[int, Stepper], None] | None = None, *, clamp: bool = False
) -> Stepped:
    """Feed ids (batch, pos) token by token; read every recurrent state after each step.

    ``after(t, stepper)`` is called when step t has been read, and may change states by ``stepper.put``. Rows go one by
    one through a model whose step mixes them. ``clamp`` and what is raised: see ``Stepper``.
    """
    ids = calling.as_ids(
        ids,
        vocab_size=model.vocab_size,
        max_positions=model.max_positions,
        device=model.device,
        model=model.id,
    )
    if ids.shape[0] > 1 and not Stepper(model).keeps_rows_apart:
        rows = [step_through(model, row.unsqueeze(0), after, clamp=clamp) for row in ids]
        states = {site: torch.cat([row.states[site] for row in rows]) for site in rows[0].states}
        return Stepped(states, torch.cat([row.logits for row in rows]))
    stepper = Stepper(model, ids.shape[0], clamp=clamp)
    logits: list[torch.Tensor] = []
    kept: dict[str, list[torch.Tensor]] = {}
    for position in range(ids.shape[1]):
        logits.append(stepper.step(ids[:, position]))
        for site in stepper.sites:
            kept.setdefault(site, []).append(stepper.state(site))
        if after is not None:
            after(position, stepper)
    return Stepped({site: torch.stack(steps, 1) for site, steps in kept.items()}, torch.stack(logits, 1))


def _empty_cache(module: torch.nn.Module) -> Any:
    from transformers import DynamicCache

    config: Any = module.config
    return DynamicCache(config=config)


@contextmanager
def _clamped(module: torch.nn.Module, position: int, clamp: bool) -> Iterator[None]:
    """Clamp dt in a step as the full pass does, or refuse a step in which that makes a difference."""
    stated: list[Any] = [getattr(part, "time_step_limit", None) for part in module.modules()]
    limits = [limit for limit in stated if limit is not None]
    low, high = max((limit[0] for limit in limits), default=0.0), min((limit[1] for limit in limits), default=inf)

    def look(_name: str, kernel: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        given = inspect.signature(kernel).bind(*args, **kwargs)
        options = given.arguments
        dt = options["dt"] if options.get("dt_bias") is None else options["dt"] + options["dt_bias"]
        dt = torch.nn.functional.softplus(dt) if options.get("dt_softplus") else dt
        if low <= float(dt.min()) and float(dt.max()) <= high:
            return kernel(*args, **kwargs)
        if not clamp:
            raise UsageProblem(
                f"At position {position} a time step dt is {float(dt.min()):.3g} to {float(dt.max()):.3g}: the full "
                f"pass clamps it to {low:.3g} to {high:.3g}, the model's own step does not, so stepping is another "
                "computation. clamp=True clamps it in the step too."
            )
        options.update(dt=dt.clamp(low, high), dt_bias=None, dt_softplus=False)
        return kernel(*given.args, **given.kwargs)

    with ExitStack() as stack:
        if low > 0.0 or high < inf:
            stack.enter_context(bound(module, "mamba2_selective_state_update", look))
        yield
