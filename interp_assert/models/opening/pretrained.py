"""Open a model directory with transformers: nothing it says may load foreign code, and nothing may be filled in at
random."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InterpError, ModelBroken, ModelRefused, UsageProblem
from ..families import prepare, supplied
from ..families.architectures import refuse_unopenable
from ..sources.directory import read_config, tokenizer_files, weight_files
from ..sources.headers import Tensor, tensors_of
from ..weights import placement
from ..weights.memory import available_memory, choose_dtype
from ..weights.spreading import (
    DeviceMap,
    OffloadFolder,
    dtype_when_spread,
    refuse_placing,
    refuse_unknown_names,
    spread_options,
)
from .own import OwnConfig, build, load_weights, own_config, register_with_transformers

__all__ = ["UNTRUSTED_KEYS", "check_finite", "open_config", "open_module", "open_tokenizer"]

# What transformers would honour in a config.json and what can load kernels or other weight files, or patch classes.
UNTRUSTED_KEYS = frozenset(
    {
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "use_kernels",
        "kernel_config",
        "fusion_config",
        "transformers_weights",
        "_name_or_path",
        "name_or_path",
    }
)


def strip_untrusted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without UNTRUSTED_KEYS, in sub-configs too."""
    return {
        key: strip_untrusted(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in UNTRUSTED_KEYS
    }


def open_config(directory: Path, where: str, *, trust_remote_code: bool) -> Any:
    """The transformers config of a directory, stripped of UNTRUSTED_KEYS; an OwnConfig for a registered architecture
    that has none.

    Raises ModelRefused for unknown architectures, code shipped with the model and what is no causal language model;
    ModelBroken for values that the config class rejects.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    raw = strip_untrusted(read_config(directory))
    refuse_unopenable(raw, where, trust_remote_code=trust_remote_code)
    code = (raw.get("auto_map") or {}) if trust_remote_code else {}
    own = supplied(raw.get("model_type"))
    if own is not None and not register_with_transformers(raw["model_type"], own.module_class):
        return own_config(directory)
    try:
        if "AutoConfig" in code:
            config = AutoConfig.from_pretrained(directory, trust_remote_code=True)
            config._attn_implementation = None
        elif raw.get("model_type") in CONFIG_MAPPING:
            kind = raw.pop("model_type")
            config = CONFIG_MAPPING[kind].from_dict(raw)
        else:
            raise ModelRefused(
                f"{where}: model_type {raw.get('model_type')!r} is unknown to this transformers; upgrade "
                "transformers, or, if the model "
                "ships its own code and you trust that code, pass trust_remote_code=True"
            )
    except InterpError:
        raise
    except Exception as error:
        raise ModelBroken(f"{directory / 'config.json'} is rejected by transformers: {_first_line(error)}") from error
    if "AutoModelForCausalLM" not in code and type(config) not in AutoModelForCausalLM._model_mapping:
        architectures = ", ".join(raw.get("architectures") or []) or "none named"
        raise ModelRefused(
            f"{where} is no causal language model: model_type {config.model_type!r} ({architectures}) has no "
            "language-model head"
        )
    return config


def open_module(
    directory: Path, where: str, *, device: torch.device | DeviceMap, dtype: str | None, trust_remote_code: bool
) -> torch.nn.Module:
    """Load the weights: every parameter comes from the files, is finite, and needs no gradient; the module is in eval
    mode. Where ``device`` is a map, accelerate spreads them.

    Raises ModelRefused if the weights do not fit in memory, ModelBroken if they do not match the architecture or are
    not finite, UsageProblem for a map that does not suit the model.
    """
    tensors = [tensor for path in weight_files(directory) for tensor in tensors_of(path)]
    config = open_config(directory, where, trust_remote_code=trust_remote_code)
    if not isinstance(device, torch.device):
        dtype = dtype_when_spread(tensors, device, available_memory(), requested=dtype, where=where)
        with OffloadFolder() as folder:
            module = _load(directory, where, config, tensors, dtype, trust_remote_code, spread_options(device, folder))
            refuse_unknown_names(device, module, where)
            folder.belongs_to(module)
    else:
        if device.type == "cpu":
            dtype = choose_dtype(tensors, available_memory(), requested=dtype, where=where)
        module = _load(directory, where, config, tensors, dtype, trust_remote_code, {}).to(device)
    module.eval()
    prepare(module)
    module.requires_grad_(False)
    return module


def _load(
    directory: Path,
    where: str,
    config: Any,
    tensors: list[Tensor],
    dtype: str | None,
    trust_remote_code: bool,
    placing: Mapping[str, Any],
) -> torch.nn.Module:
    own = supplied(getattr(config, "model_type", None)) if isinstance(config, OwnConfig) else None
    if own is not None and placing:
        raise UsageProblem(f"{where} is not a model of transformers, which cannot spread it: leave device='auto' out")
    try:
        if own is not None:
            module = build(directory, own, where)
            opened: Any = module, load_weights(module, directory, tensors, dtype)
        else:
            opened = _from_pretrained(directory, config, dtype, trust_remote_code, placing)
    except InterpError:
        raise
    except Exception as error:
        if placing:
            refuse_placing(error, placing, where)
        raise ModelBroken(
            f"{where}: transformers cannot load the weights in {directory}: {_first_line(error)}"
        ) from error
    module, info = opened
    _refuse_mismatch(info, module, where)
    check_finite(module, where)
    return module


def _from_pretrained(
    directory: Path, config: Any, dtype: str | None, trust_remote_code: bool, placing: Mapping[str, Any]
) -> Any:
    """The module and what transformers says about its loading."""
    from transformers import AutoModelForCausalLM

    with _quiet():
        return AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=getattr(torch, dtype) if dtype else "auto",
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported later, with all names at once
            **_attention(config),
            **placing,
        )


def _attention(config: Any) -> dict[str, str]:
    """The attention implementation to ask for: transformers' own choice, but never a fused one that would drop the
    soft-capping of attention scores, as several releases of transformers do for Gemma 2.
    """
    text = config.get_text_config(decoder=True)
    return {"attn_implementation": "eager"} if getattr(text, "attn_logit_softcapping", None) else {}


def open_tokenizer(directory: Path, where: str, *, trust_remote_code: bool) -> Any | None:
    """The directory's tokenizer; None if it has none, ModelBroken if it has one that cannot be read."""
    from transformers import AutoTokenizer

    files = tokenizer_files(directory)
    if not [
        path
        for path in files
        if path.name not in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    ]:
        return None
    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
    except Exception as error:
        names = ", ".join(path.name for path in files)
        raise ModelBroken(
            f"{where}: the tokenizer in {directory} ({names}) cannot be read: {_first_line(error)}; "
            "save it again with save_pretrained, or remove these files to measure without a tokenizer"
        ) from error


def check_finite(module: torch.nn.Module, where: str) -> None:
    """Raise ModelBroken naming the first parameter that holds NaN or an infinity, ModelRefused for one without
    values.
    """
    placement.refuse_mixed_up(module, where)
    for name, parameter in module.named_parameters():
        if parameter.numel() == 0 or not parameter.is_floating_point():
            continue
        # NaN propagates, and no copy of the tensor is made.
        low, high = torch.aminmax(placement.value_of(module, name).detach())
        if not (torch.isfinite(low) and torch.isfinite(high)):
            what = "holds NaN" if low.isnan() else f"ranges from {low.item()} to {high.item()}"
            raise ModelBroken(
                f"{where}: the weights are not finite: {name} ({parameter.dtype}) {what}; copy or "
                "convert them again, in float32 or bfloat16 if they overflowed float16"
            )


def _refuse_mismatch(info: Mapping[str, Any], module: torch.nn.Module, where: str) -> None:
    faults = []
    if info["missing_keys"]:
        faults.append(f"no file has {_some(info['missing_keys'])} (transformers would fill them in at random)")
    if info["mismatched_keys"]:
        shapes = [f"{key} {tuple(found)} for {tuple(due)}" for key, found, due in sorted(info["mismatched_keys"])]
        faults.append(f"wrong shapes: {_some(shapes)}")
    beyond = [key for key in info["unexpected_keys"] if _beyond_a_stack(module, key)]
    if beyond:
        faults.append(f"the files hold more layers than config.json builds: {_some(beyond)}")
    if info["error_msgs"]:
        faults.append("; ".join(info["error_msgs"]))
    if faults:
        raise ModelBroken(
            f"{where}: the weights do not match config.json: {'; '.join(faults)}; save both again with save_pretrained"
        )
    if info["unexpected_keys"]:
        # Old checkpoints carry buffers that transformers computes by now (rotary frequencies, causal masks), and some
        # carry another head beside this one: neither is used, and the model is whole without.
        warnings.warn(f"{where}: the architecture does not use {_some(info['unexpected_keys'])}", stacklevel=2)


def _beyond_a_stack(module: torch.nn.Module, key: str) -> bool:
    """Whether a tensor belongs to a numbered member of a list that has fewer members: another depth."""
    path = key.split(".")
    for at, part in enumerate(path):
        if part.isdigit():
            try:
                stack = module.get_submodule(".".join(path[:at]))
            except AttributeError:
                return False
            return isinstance(stack, torch.nn.ModuleList) and int(part) >= len(stack)
    return False


def _some(names: Any, at_most: int = 4) -> str:
    names = sorted(names)
    rest = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + rest


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


class _quiet:
    """No progress bars and no loading report of transformers while a model opens; whatever is wrong is raised
    instead."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._logging = logging
        self._level = logging.get_verbosity()
        self._bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *exc: object) -> None:
        self._logging.set_verbosity(self._level)
        if self._bars and not os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS"):
            self._logging.enable_progress_bar()
