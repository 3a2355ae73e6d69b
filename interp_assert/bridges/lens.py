"""A model in TransformerLens 4: the bridge puts components with hook points into the Hugging Face module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..models.calling import is_transformers
from ..models.sites import block_of, part_of
from .backend import BackendUnavailable, Edit

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["open_copy"]

_HOOKS = {
    "embed": ("embed.hook_out", "hook_embed"),
    "resid_pre": ("hook_resid_pre",),
    "resid_mid": ("hook_resid_mid",),
    "resid_post": ("hook_resid_post",),
    "attn.out": ("hook_attn_out",),
    "attn.pattern": ("attn.hook_pattern",),
    "attn.q": ("attn.hook_rot_q", "attn.hook_q"),
    "attn.k": ("attn.hook_rot_k", "attn.hook_k"),
    "attn.v": ("attn.hook_v",),
    "attn.head_out": ("attn.hook_z",),
    "mlp.out": ("hook_mlp_out",),
    "mlp.neurons": ("mlp.hook_post",),
    "final_norm": ("ln_final.hook_out",),
}
"""The hook points of each site, the better ones first."""

_BEFORE_ROTATION = ("attn.hook_q", "attn.hook_k")
"""Hook points that show queries and keys before they are rotated: another thing than our sites in a model that does."""

_ONE_READER = "ln2.hook_in"
"""What the bridge calls ``hook_resid_mid`` is the input of the norm before the MLP: edited there, the stream goes on as
it was."""


def open_copy(model: Model, module: torch.nn.Module) -> LensBackend:
    """A bridge over ``module``, which it changes.

    Raises BackendUnavailable if TransformerLens has no adapter for the architecture.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    if not is_transformers(module):
        raise BackendUnavailable(f"TransformerLens opens models of transformers only, not {model.class_name}")
    try:
        bridge = build_bridge_from_module(module, model.class_name, hf_config=model.config)
    except Exception as error:  # its adapters raise whatever their assumptions meet
        reason = next(iter(str(error).splitlines()), "")
        raise BackendUnavailable(
            f"TransformerLens cannot open this {model.class_name}: {type(error).__name__}: {reason}"
        ) from error
    return LensBackend(bridge, model)


class LensBackend:
    """See ``backend.Backend``."""

    name = "transformer_lens"

    def __init__(self, bridge: Any, model: Model) -> None:
        self.bridge = bridge
        rotary = getattr(bridge.cfg, "positional_embedding_type", None) == "rotary"
        with torch.no_grad():
            _, fired = bridge.run_with_cache(torch.zeros((1, 2), dtype=torch.long, device=model.device))
        self.hooks = {site: hook for site in model.anatomy.sites if (hook := _hook_of(site, fired, rotary)) is not None}
        self.sites = (*self.hooks, "logits")

    def capture(self, ids: torch.Tensor, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        names = {self.hooks[site] for site in sites if site != "logits"}
        with torch.no_grad():
            logits, cache = self.bridge.run_with_cache(ids, names_filter=lambda name: name in names)
        return {site: logits if site == "logits" else cache[self.hooks[site]] for site in sites}

    def logits(self, ids: torch.Tensor, site: str, edit: Edit) -> torch.Tensor | None:
        if site == "logits" or self.bridge.hook_dict[self.hooks[site]].name.endswith(_ONE_READER):
            return None

        def change(tensor: torch.Tensor, hook: Any) -> torch.Tensor:
            return edit(tensor)

        with torch.no_grad():
            made: torch.Tensor = self.bridge.run_with_hooks(
                ids, return_type="logits", fwd_hooks=[(self.hooks[site], change)]
            )
        return made


def _hook_of(site: str, fired: Any, rotary: bool) -> str | None:
    block = block_of(site)
    prefix = "" if block is None else f"blocks.{block}."
    for name in _HOOKS.get(part_of(site), ()):
        if f"{prefix}{name}" in fired and not (rotary and name in _BEFORE_ROTATION):
            return f"{prefix}{name}"
    return None
