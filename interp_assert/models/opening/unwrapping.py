"""The module inside another library's wrapper of it. Neither library is imported for it: who has no such object needs
none.
"""

from __future__ import annotations

from typing import Any

from ...errors import ModelRefused

__all__ = ["unwrap"]


def unwrap(thing: Any) -> tuple[Any, Any | None]:
    """(module, tokenizer) of nnsight's ``LanguageModel`` and of TransformerLens' ``TransformerBridge``; anything else
    is given back as it is.

    An nnsight model that has not read its weights reads them now. A bridge has put its own components into the module
    that it was given, so that module is what is measured. A ``HookedTransformer`` of TransformerLens before 4 is a
    module of its own, and opened as one.

    Raises ModelRefused for a bridge without a torch module in this process.
    """
    if _comes_from(thing, "nnsight", "Envoy"):
        if getattr(thing, "dispatched", True) is False:
            thing.dispatch()
        return thing._module, getattr(thing, "tokenizer", None)
    if _comes_from(thing, "transformer_lens", "TransformerBridge") or _comes_from(
        thing, "transformer_lens", "BridgeCore"
    ):
        module = getattr(thing, "original_model", None)
        if module is None:
            raise ModelRefused(
                f"this {type(thing).__name__} runs its model elsewhere (vLLM, a server), so there is no torch module "
                "to look into; build it with TransformerBridge.boot_transformers"
            )
        return module, getattr(thing, "tokenizer", None)
    return thing, None


def _comes_from(thing: Any, package: str, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in type(thing).__mro__)
