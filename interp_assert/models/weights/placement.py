"""Where a module's weights are: on one device, on several, or kept elsewhere by accelerate until a call needs them.

accelerate puts a hook on a module (``_hf_hook``) that moves arguments to where the module computes and, where weights
are offloaded, brings them before its forward and takes them away after it. Between calls such a weight is on the meta
device: it has a shape and no values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ...errors import ModelRefused

__all__ = [
    "State",
    "brought",
    "gpus",
    "home",
    "is_spread",
    "keepers",
    "offloading",
    "parameters",
    "places",
    "put_away",
    "refuse_mixed_up",
    "tensor_named",
    "tied_to",
    "value_of",
    "where_used",
]


def is_spread(root: torch.nn.Module) -> bool:
    """Whether accelerate has dispatched the module: then it may compute on several devices."""
    return any("_hf_hook" in vars(part) for part in root.modules())


def hooks_of(part: torch.nn.Module) -> Iterator[Any]:
    """The hooks that accelerate has put on one module, in the order in which they run."""
    hook = getattr(part, "_hf_hook", None)
    yield from getattr(hook, "hooks", (hook,)) if hook is not None else ()


def offloading(part: torch.nn.Module) -> Iterator[Any]:
    """Those of a module's hooks that keep weights elsewhere between calls: each has a ``weights_map``."""
    return (hook for hook in hooks_of(part) if getattr(hook, "offload", False) and hook.weights_map is not None)


def home(root: torch.nn.Module) -> torch.device:
    """Where token ids go and what is read comes to: the device on which the first weights (the input embeddings)
    compute.
    """
    for part in root.modules():
        for tensor in part.parameters(recurse=False):
            hooks = (getattr(hook, "execution_device", None) for hook in hooks_of(part))
            return torch.device(next((device for device in hooks if device is not None), tensor.device))
    return torch.device("cpu")


def gpus(root: torch.nn.Module) -> list[torch.device]:
    """The CUDA devices that hold weights of the module or compute with them."""
    found = {tensor.device for tensor in root.parameters()}
    for part in root.modules():
        devices = (getattr(hook, "execution_device", None) for hook in hooks_of(part))
        found |= {torch.device(device) for device in devices if device is not None}
    return sorted((device for device in found if device.type == "cuda"), key=str)


def parameters(root: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Every parameter with its name, as the module holds it now; tied ones once.

    A call replaces the offloaded ones by new objects, so which of them are tied is then known from transformers' own
    table alone.
    """
    ties: Mapping[str, str] = getattr(root, "all_tied_weights_keys", None) or {}
    seen: set[str] = set()
    for name, parameter in root.named_parameters():
        one = ties.get(name, name) if parameter.is_meta else name
        if one not in seen:
            seen |= {one, name}
            yield name, parameter


def tied_to(root: torch.nn.Module, name: str) -> list[str]:
    """A parameter's name and, by transformers' own table, those of the parameters that are tied to it."""
    ties: Mapping[str, str] = getattr(root, "all_tied_weights_keys", None) or {}
    one = ties.get(name, name)
    return [name, *(other for other in {one, *ties} - {name} if ties.get(other, other) == one)]


def tensor_named(root: torch.nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer by its full name, as the module holds it now."""
    path, _, last = name.rpartition(".")
    found = getattr(root.get_submodule(path), last)
    assert isinstance(found, torch.Tensor)
    return found


def value_of(root: torch.nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer with its values: fetched from where it is kept, which may be another device than the one
    that it computes on.

    Raises ModelRefused if it is nowhere.
    """
    held = tensor_named(root, name)
    if not held.is_meta:
        return held
    for hook, within in keepers(root, name):
        try:
            return hook.weights_map[within].to(held.dtype)
        except KeyError:
            continue
    raise ModelRefused(_nowhere(name))


def _nowhere(name: str) -> str:
    return (
        f"{name} is on the meta device and no values are kept for it: load the weights. If it is tied to another one, "
        "both must be in one place of the device_map. Older releases of transformers lose tied weights that go to disk "
        "(and all weights, where the whole model goes there): upgrade transformers"
    )


def refuse_mixed_up(root: torch.nn.Module, where: str) -> None:
    """Raise ModelRefused where accelerate would take one weight for another, or would not find it.

    It finds tied weights again by their address. Before 1.15 it noted address 0 for those that are on disk, which is
    that of every weight there, and then reused whatever stood at an address before: the wrong values, in silence.
    """
    for path, part in root.named_modules():
        for hook in offloading(part):
            for name in brought(part, hook):
                kept, key = _whole_map(hook, name)
                if key not in getattr(kept, "all_keys", kept):
                    raise ModelRefused(f"{where}: {_nowhere(f'{path}.{name}')}")
            if 0 in (getattr(hook, "tied_params_map", None) or ()):
                raise ModelRefused(
                    f"{where}: tied weights were offloaded to disk by a release of accelerate that mixes up weights "
                    "then; install accelerate>=1.15 and load the model again"
                )


def where_used(root: torch.nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer with its values, on the device on which its module computes."""
    found = value_of(root, name)
    if tensor_named(root, name).is_meta:
        hook = next(hook for hook, _ in keepers(root, name))
        return found.to(hook.execution_device)
    return found


def keepers(root: torch.nn.Module, name: str) -> Iterator[tuple[Any, str]]:
    """The hooks that may keep a parameter or buffer, innermost first, each with the name that it goes by there."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, -1, -1):
        for hook in offloading(root.get_submodule(".".join(parts[:cut]))):
            yield hook, ".".join(parts[cut:])


def places(root: torch.nn.Module) -> dict[str, int]:
    """How many parameters are where between calls: by device (``cpu``, ``cuda:0``), and ``disk`` for those in files."""
    counts: dict[str, int] = {}
    for name, parameter in parameters(root):
        place = _kept_at(root, name) if parameter.is_meta else str(parameter.device)
        counts[place] = counts.get(place, 0) + parameter.numel()
    return counts


def _kept_at(root: torch.nn.Module, name: str) -> str:
    for hook, within in keepers(root, name):
        kept, key = _whole_map(hook, within)
        in_memory = getattr(kept, "state_dict", kept)
        if key in in_memory:
            return str(in_memory[key].device)
    return "disk"


def _whole_map(hook: Any, within: str) -> tuple[Any, str]:
    """The map that a hook brings weights from, without the views of it, and the key of one in it."""
    kept, key = hook.weights_map, within
    while hasattr(kept, "dataset"):  # accelerate's view of a larger map, or ours of accelerate's
        kept, key = kept.dataset, f"{getattr(kept, 'prefix', '')}{key}"
    return kept, key


def put_away(root: torch.nn.Module) -> None:
    """Take away the offloaded weights that are in place."""
    for part in root.modules():
        for hook in offloading(part):
            if any(not tensor.is_meta for tensor in brought(part, hook).values()):
                hook.post_forward(part, ())


def brought(part: torch.nn.Module, hook: Any) -> dict[str, torch.Tensor]:
    """What a hook brings for a call of its module, by the name within it."""
    deep = bool(hook.place_submodules)
    found: dict[str, torch.Tensor] = dict(part.named_parameters(recurse=deep))
    if hook.offload_buffers:
        lasting = part.state_dict(keep_vars=True)
        found |= {name: buffer for name, buffer in part.named_buffers(recurse=deep) if name in lasting}
    return found


class State(Mapping[str, torch.Tensor]):
    """A module's state dict with the values of offloaded weights, each fetched when it is asked for."""

    def __init__(self, root: torch.nn.Module) -> None:
        self._root = root
        # Without what modules keep there besides tensors (``get_extra_state``).
        self._held = {name: held for name, held in root.state_dict().items() if isinstance(held, torch.Tensor)}

    def __getitem__(self, name: str) -> torch.Tensor:
        held = self._held[name]
        return value_of(self._root, name) if held.is_meta else held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
