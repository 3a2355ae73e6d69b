"""A tiny seeded model of any causal-LM type: its default config made small by the names of its attributes.

Nothing is loaded: models are built from configs. Types that the installed transformers does not have are left out of
``TYPES``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import is_timm_available, is_vision_available, logging

from .settings import NOT_TEXT_ONLY, SETTINGS
from .sizes import HEADS, INNER, KINDS_PER_LAYER, LAYERS, RECOMPUTED, VISIBLE, VOCAB, D, size_of

TYPES = tuple(name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name not in NOT_TEXT_ONLY)
"""Every causal-LM type of the installed transformers that runs on token ids alone."""

_LOW_TOKENS = {"bos": 0, "pad": 1, "eos": 2, "decoder_start": 2}
_FIRST_WORD, _LAST_WORD = 8, VOCAB - 32  # below and above sit the special tokens


@contextmanager
def quiet() -> Iterator[None]:
    """Default configs warn about token ids outside a tiny vocabulary, models about kernels that are not installed."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def build(model_type: str, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """The tiny model of a type in eval mode, float32; ``settings`` are set in its config beside the type's own."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(model_type, **settings), dtype=torch.float32)
    _roughen(model, torch.Generator().manual_seed(seed + 1))
    return model.eval()


def prompt(batch: int = 2, length: int = 12, seed: int = 0) -> torch.Tensor:
    """Token ids (batch, length) of which none is special in a tiny model."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(_FIRST_WORD, _LAST_WORD, (batch, length), generator=generator)


def tiny_config(model_type: str, **settings: Any) -> Any:
    """The type's default config with small sizes and its own settings."""
    with quiet():
        defaults = AutoConfig.for_model(model_type).to_dict()
        values = _shrunk(defaults, getattr(CONFIG_MAPPING[model_type], "sub_configs", {}))
        for path, value in {**SETTINGS.get(model_type, {}), **settings}.items():
            *outer, name = path.split(".")
            place = values
            for part in outer:
                place = place.setdefault(part, {})
            place[name] = value
        config = AutoConfig.for_model(model_type, **values)
        if model_type == "gemma3n" and not (is_timm_available() and is_vision_available()):
            _replace_vision(config)
    return config


def _shrunk(values: Mapping[str, Any], sub_configs: Mapping[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    depth = max([LAYERS, *(len(_kinds(values[name])) for name in KINDS_PER_LAYER if name in values)])
    for name, value in values.items():
        if name in RECOMPUTED or name in ("_name_or_path", "transformers_version"):
            continue
        if isinstance(value, dict) and (name in sub_configs or "model_type" in value):
            small[name] = _sub_config(value, sub_configs.get(name))
        elif name in KINDS_PER_LAYER and value:
            small[name] = _spread(name, _kinds(value), depth)
        elif _is_token(name) and value is not None and not isinstance(value, bool):
            small[name] = _token(name, value)
        elif isinstance(value, float) and name in VISIBLE:
            small[name] = VISIBLE[name]
        elif isinstance(value, list) and name == "intermediate_size":
            small[name] = INNER
        elif isinstance(value, int) and not isinstance(value, bool) and (size := size_of(name)) is not None:
            # what is zero by default is an option that is off
            small[name] = (depth if size == LAYERS and "layers" in name else size) if value else value
    if "kv_lora_rank" in values and "num_key_value_heads" in small:
        small["num_key_value_heads"] = small["num_attention_heads"]  # latent attention shares no heads
    if values.get("is_decoder") is False and not {"encoder_layers", "num_encoder_layers"} & set(values):
        small["is_decoder"] = True  # else the BERT family sees both ways
    if values.get("causal") is False:
        small["causal"] = True  # xlm
    return small


def _sub_config(value: Mapping[str, Any], stated: Any) -> dict[str, Any]:
    kind = value.get("model_type")
    known = CONFIG_MAPPING[kind] if kind in CONFIG_MAPPING else stated  # noqa: SIM401
    small = _shrunk(value, getattr(known, "sub_configs", {}) or {})
    return {**small, "model_type": kind} if kind else small


def _kinds(per_layer: Any) -> list[Any]:
    return list(dict.fromkeys(per_layer)) if isinstance(per_layer, list) else []


def _spread(name: str, kinds: list[Any], depth: int) -> list[Any]:
    """Every kind at least once: in turn, but dense MLPs come first and experts fill the rest."""
    if name == "mlp_layer_types":
        return [*kinds, *[kinds[-1]] * depth][:depth]
    return [kinds[layer % len(kinds)] for layer in range(depth)]


def _is_token(name: str) -> bool:
    return name.endswith(("_token_id", "_token_index")) or name in ("unk_index", "mask_index")


def _token(name: str, value: Any) -> Any:
    """A special token inside the tiny vocabulary and outside the words of ``prompt``."""
    low = next((token for prefix, token in _LOW_TOKENS.items() if name.startswith(prefix)), None)
    if isinstance(value, list) or low is not None:
        return 2 if low is None else low
    return value if value < _FIRST_WORD else VOCAB - 1 - crc32(name.encode()) % 24


def _replace_vision(config: Any) -> None:
    """Gemma 3n's tower for images comes from a package that may be missing; text never reaches it, so another small
    tower, put past the config's check, stands in.
    """
    tower = AutoConfig.for_model(
        "siglip_vision_model",
        hidden_size=D,
        intermediate_size=INNER,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=32,
        patch_size=16,
    )
    tower.rms_norm_eps, tower.vocab_size, tower.vocab_offset = 1e-6, 8, VOCAB
    vars(config)["vision_config"] = tower


@torch.no_grad()
def _roughen(model: PreTrainedModel, generator: torch.Generator) -> None:
    """As initialised, a tiny block is nearly the identity, gains are one and biases zero: what is forgotten would not
    show.
    """
    for _, parameter in sorted(model.named_parameters()):
        if not parameter.is_floating_point() or not parameter.numel():
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
        if parameter.ndim < 2:
            parameter.add_(noise, alpha=0.1)
        elif spread < 1e-8:
            parameter.add_(noise, alpha=0.05)
        elif spread < 0.06:
            parameter.mul_(0.12 / spread)
    for name, buffer in sorted(model.named_buffers()):
        if name.endswith("tid2eid"):  # deepseek_v4's experts of each token, all the first without a checkpoint
            buffer.copy_(torch.randint(0, model.config.n_routed_experts, buffer.shape, generator=generator))
