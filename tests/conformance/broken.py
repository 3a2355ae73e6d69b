"""Tiny models that are broken on purpose, each in one way: in what they compute, or in where their sites are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from models.tiny import build
from torch import nn

from interp_assert.models import Model, wrap
from interp_assert.models.recording.layouts import Layout
from interp_assert.models.taps.tap import Route, Tap


def healthy() -> Model:
    """A llama of three blocks."""
    return wrap(build("llama"), id="tiny")


class Passing(nn.Module):
    """A block that hands on what it is given."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        return hidden_states


def block_passed_over() -> Model:
    """The second block hands on its input."""
    module: Any = build("llama")
    module.model.layers[1] = Passing(module.model.layers[1])
    return wrap(module, id="tiny")


def block_left_out() -> Model:
    """The loop over the blocks ends one too early."""
    module: Any = build("llama")
    module.model.config.num_hidden_layers -= 1
    return wrap(module, id="tiny")


class Twice(nn.Module):
    """A norm, and the same norm again."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        once: torch.Tensor = self.norm(hidden_states)
        again: torch.Tensor = self.norm(once)
        return again


def norm_applied_twice() -> Model:
    """The final norm runs twice in the model itself."""
    module: Any = build("llama")
    module.model.norm = Twice(module.model.norm)
    return wrap(module, id="tiny")


def norm_unembedded_twice() -> Model:
    """The final norm runs twice in our own unembedding."""
    model = healthy()
    readout = model.anatomy.readout
    assert readout is not None
    model.anatomy.readout = replace(readout, steps=(_norm_again(readout.steps[0]), *readout.steps))
    return model


def _norm_again(step: Any) -> Any:
    # The step's result takes the place of the residual that it started from.
    [start] = [argument.value for argument in step.args]
    return replace(step, value=start)


def shifted(part: str, by: int) -> Callable[[], Model]:
    """Our own hooks off by one: a site of each block is read and written at another block, where there is one."""

    def make() -> Model:
        model = healthy()
        routes, n_blocks = model.anatomy.routes, model.anatomy.n_blocks
        before = dict(routes)
        for block in range(n_blocks):
            routes[f"blocks.{block}.{part}"] = before[f"blocks.{min(max(block + by, 0), n_blocks - 1)}.{part}"]
        return model

    return make


def written_elsewhere() -> Model:
    """A site that is read at one block and written at the next."""
    model = healthy()
    here, there = (model.anatomy.routes[f"blocks.{block}.mlp.neurons"] for block in (0, 1))
    model.anatomy.routes["blocks.0.mlp.neurons"] = Route(here.read, there.write)
    return model


def dead_hook() -> Model:
    """A site at a module that no pass calls."""
    model = healthy()
    route = model.anatomy.routes["blocks.1.mlp.neurons"]
    assert isinstance(route.write, Tap)
    model.module.get_submodule("model.layers.1").idle = nn.Identity()  # type: ignore[assignment]
    model.anatomy.routes["blocks.1.mlp.neurons"] = Route.at(replace(route.write, path="model.layers.1.idle"))
    return model


def turned_axes() -> Model:
    """A site whose rows and positions are mixed up."""
    model = healthy()
    route = model.anatomy.routes["blocks.1.mlp.neurons"]
    assert isinstance(route.write, Tap)
    model.anatomy.routes["blocks.1.mlp.neurons"] = Route.at(replace(route.write, layout=Layout((("pos",), ("batch",)))))
    return model


def not_causal() -> Model:
    """The second block attends to what comes later."""
    module: Any = build("llama")
    module.model.layers[1].self_attn.is_causal = False
    return wrap(module, id="tiny")


class Leaking(nn.Module):
    """A last norm that mixes in a little of the next position."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        following = torch.cat([hidden_states[:, 1:], hidden_states[:, -1:]], dim=1)
        out: torch.Tensor = self.norm(hidden_states + 1e-3 * following)
        return out


def leak_at_the_end() -> Model:
    """The future is seen after the last block only."""
    module: Any = build("llama")
    module.model.norm = Leaking(module.model.norm)
    return wrap(module, id="tiny")


class Foreseeing(nn.Module):
    """An embedding that differs where a rare token follows."""

    def __init__(self, embedding: nn.Module, rare: int) -> None:
        super().__init__()
        self.embedding, self.rare = embedding, rare

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        follows = torch.cat([ids[:, 1:] >= self.rare, torch.zeros_like(ids[:, :1], dtype=torch.bool)], dim=1)
        out: torch.Tensor = self.embedding(ids) + 0.1 * follows.unsqueeze(-1)
        return out


def foresees(rare: int) -> Model:
    """The future is seen where it holds a token of id ``rare`` or higher."""
    module: Any = build("llama")
    module.model.embed_tokens = Foreseeing(module.model.embed_tokens, rare)
    return wrap(module, id="tiny")


class Remembering(nn.Module):
    """A module that adds a little more at every call."""

    def __init__(self, inner: nn.Module, every: int = 1) -> None:
        super().__init__()
        self.inner, self.calls, self.every = inner, 0, every

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        out: torch.Tensor = self.inner(hidden_states)
        return out + 1e-3 * (self.calls // self.every)


def stateful() -> Model:
    """The MLP of the second block changes from pass to pass."""
    module: Any = build("llama")
    module.model.layers[1].mlp = Remembering(module.model.layers[1].mlp)
    return wrap(module, id="tiny")


class AcrossTheBatch(nn.Module):
    """A norm that takes its mean over the rows of the batch."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(hidden_states - 0.1 * hidden_states.mean(0, keepdim=True))
        return out


def batch_dependent() -> Model:
    """The second block normalises over the batch."""
    module: Any = build("llama")
    module.model.layers[1].input_layernorm = AcrossTheBatch(module.model.layers[1].input_layernorm)
    return wrap(module, id="tiny")


class ScaledByLength(nn.Module):
    """A norm whose result depends on how many positions there are."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(hidden_states) * (1 + 0.01 * hidden_states.shape[1])
        return out


def length_dependent() -> Model:
    """The second block works otherwise on longer rows."""
    module: Any = build("llama")
    module.model.layers[1].input_layernorm = ScaledByLength(module.model.layers[1].input_layernorm)
    return wrap(module, id="tiny")


def padding_counted() -> Model:
    """Positions are counted from the number of pads in a row."""
    module: Any = build("gpt2")
    forward = module.forward

    def counting(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **options: Any) -> Any:
        if attention_mask is not None:
            pads = (1 - attention_mask).sum(1, keepdim=True)
            options["position_ids"] = torch.arange(input_ids.shape[1]) + pads
        return forward(input_ids=input_ids, attention_mask=attention_mask, **options)

    module.forward = counting
    return wrap(module, id="tiny")


def forgetful_cache() -> Model:
    """The second block's attention does not look into its cache."""
    module: Any = build("llama")
    attention = module.model.layers[1].self_attn
    forward = attention.forward

    def forgetting(*args: Any, past_key_values: Any = None, **options: Any) -> Any:
        return forward(*args, past_key_values=None, **options)

    attention.forward = forgetting
    return wrap(module, id="tiny")


def shifted_cache() -> Model:
    """Whatever is said of them, positions are one too high when the cache holds something. (Absolute ones: turning all
    queries and keys alike would change nothing.)"""
    module: Any = build("gpt2")
    embedding = module.transformer.wpe
    forward = module.forward

    def shifting(input_ids: torch.Tensor, past_key_values: Any = None, **options: Any) -> Any:
        warm = past_key_values is not None and past_key_values.get_seq_length() > 0
        handle = embedding.register_forward_pre_hook(lambda _module, args: (args[0] + warm,))
        try:
            return forward(input_ids=input_ids, past_key_values=past_key_values, **options)
        finally:
            handle.remove()

    module.forward = shifting
    return wrap(module, id="tiny")
