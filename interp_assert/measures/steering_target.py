"""The two tokens between which steering is to tip the balance, resolved in the context of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageProblem

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["TargetUnknown", "check_target", "resolve_target"]


class TargetUnknown(UsageProblem):
    """A target word is not one token of the model's."""


def resolve_target(model: Model, target: Sequence[str | int], prompts: Sequence[str]) -> tuple[int, int]:
    """Ids of (what class 1 is steered to, what class 0 is).

    A word is what follows a prompt after a space: the one id that ``prompt + " " + word`` adds to those of ``prompt``,
    the same after every prompt. Ids are taken as they are.

    Raises TargetUnknown for a word that is not one token or unknown, UsageProblem for anything but two different words
    or ids.
    """
    check_target(target)
    ids = [_id_of(model, word, prompts) for word in target]
    if ids[0] == ids[1]:
        raise UsageProblem(f"target={tuple(target)!r} is the same token twice; steering tips the balance between two")
    return ids[0], ids[1]


def check_target(target: object) -> None:
    """Raise UsageProblem unless these are two things."""
    if isinstance(target, (str, bytes)) or not isinstance(target, (Sequence, np.ndarray)) or len(target) != 2:
        raise UsageProblem(f"target={target!r} must be two words or token ids: that of class 1, that of class 0")


def _id_of(model: Model, word: str | int, prompts: Sequence[str]) -> int:
    size = int(model.vocab_size)
    if isinstance(word, (int, np.integer)) and not isinstance(word, bool):
        if not 0 <= word < size:
            raise UsageProblem(f"target id {word} is outside the vocabulary of {size} of {model.id}")
        return int(word)
    if not isinstance(word, str) or not word.strip():
        raise UsageProblem(f"target {word!r} must be a word or a token id")
    if model.tokenizer is None:
        raise TargetUnknown(f"{model.id} has no tokenizer, so the target {word!r} cannot be found; give token ids")
    encode = model.tokenizer
    found: set[int] = set()
    for prompt in prompts:
        before, whole = (
            [int(i) for i in encode(text, add_special_tokens=False)["input_ids"]]
            for text in (prompt, f"{prompt} {word.strip()}")
        )
        added = whole[len(before) :]
        if whole[: len(before)] != before or len(added) != 1 or added[0] == encode.unk_token_id or added[0] >= size:
            raise TargetUnknown(
                f"the target {word!r} is not one token of {model.id} after {prompt!r} (it adds {added}); choose a word "
                "that is one token, or give token ids"
            )
        found.add(added[0])
    if len(found) > 1:
        raise TargetUnknown(f"the target {word!r} is another token after another prompt: {sorted(found)}; give its id")
    return found.pop()
