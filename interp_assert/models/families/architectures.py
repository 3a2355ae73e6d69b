"""Which architectures the installed transformers can open, read from its tables without importing it (and torch with
it)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import ModelRefused
from . import supplies

__all__ = ["refuse_unopenable"]

_LANGUAGE_MODEL_CLASS = re.compile(r"CausalLM|LMHead|ForConditionalGeneration|ForPreTraining")


def refuse_unopenable(config: Mapping[str, Any], where: str, *, trust_remote_code: bool) -> None:
    """Raise ModelRefused where config.json alone tells that the model cannot be opened: it needs remote code,
    transformers does not know its type, it is no causal language model, or its weights are quantised.

    What the tables do not tell is left to the opening of the model.
    """
    kind, code = config.get("model_type"), config.get("auto_map")
    if not kind and not code:
        raise ModelRefused(f"{where}: config.json names no model_type, so transformers cannot tell the architecture")
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, Mapping) else quantised
        raise ModelRefused(
            f"{where}: its weights are quantised ({method}), which needs kernels of its own and changes what is "
            "measured; dequantise it "
            "first: AutoModelForCausalLM.from_pretrained(model).dequantize().save_pretrained(directory)"
        )
    if (trust_remote_code and code) or supplies(kind) or _registered(kind):
        return
    if known(kind) is False:
        if code:
            raise ModelRefused(
                f"{where}: model_type {kind!r} is defined by Python code shipped with the model. Read that code, and "
                "if you trust it pass "
                "trust_remote_code=True (--interp-trust-remote-code), which runs it"
            )
        raise ModelRefused(
            f"{where}: model_type {kind!r} is unknown to the installed transformers; upgrade transformers, or, if the "
            f"architecture is your own, import what registers it first (register_family(..., model_type={kind!r})): in "
            "a conftest.py, or, for a package, by an entry point of the group interp_assert.families"
        )
    architectures = [str(name) for name in config.get("architectures") or []]
    named = f"model_type {kind!r}, architectures {', '.join(architectures) or 'none named'}"
    if causal(kind) is False:
        raise ModelRefused(f"{where} is no causal language model ({named}): transformers has no such head for it")
    own = _causal_class(kind)
    if architectures and not any(name == own or _LANGUAGE_MODEL_CLASS.search(name) for name in architectures):
        raise ModelRefused(
            f"{where} is no causal language model ({named}): it was saved without a causal language-model head"
            + (f", which is what {own} has" if own else "")
        )


def known(model_type: Any) -> bool | None:
    """Whether transformers has this model type; None if its tables cannot be found."""
    text = _table("configuration_auto.py") + _table("auto_mappings.py")
    return f'"{model_type}"' in text if text else None


def causal(model_type: Any) -> bool | None:
    """Whether AutoModelForCausalLM opens this model type; None if its table cannot be found."""
    table = _causal_table()
    return f'("{model_type}",' in table if table else None


def _causal_class(model_type: Any) -> str | None:
    """The class that AutoModelForCausalLM opens a model type with, if its table says one."""
    found = re.search(rf'\("{re.escape(str(model_type))}",\s*"(\w+)"', _causal_table())
    return found[1] if found else None


def _causal_table() -> str:
    table = _table("modeling_auto.py")
    found = re.search(r"^MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = .*?^\)", table, re.DOTALL | re.MULTILINE)
    return found[0] if found else ""


def _registered(model_type: Any) -> bool:
    """Whether the user registered this type with transformers itself (``AutoConfig.register``), in this process."""
    auto = sys.modules.get("transformers.models.auto.configuration_auto")
    return auto is not None and model_type in auto.CONFIG_MAPPING._extra_content


@cache
def _table(file: str) -> str:
    spec = find_spec("transformers")
    roots = (spec.submodule_search_locations or []) if spec else []
    paths = [Path(root) / "models" / "auto" / file for root in roots]
    return "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
