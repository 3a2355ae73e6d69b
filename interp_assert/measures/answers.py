"""Which token a model puts first where a fact's answer is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement
from ..prompts import Fact
from .passes import check_context, in_passes

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["top_answers"]


def top_answers(model: Model, facts: Sequence[Fact]) -> NDArray[np.int64]:
    """(fact,) the id of the model's top token at the last position of each prompt; -1 where two share the top, so that
    logits which say nothing never look like an answer.

    Raises ContextTooShort for a prompt that does not fit, NonFiniteMeasurement naming the prompt.
    """
    check_context(model, max((len(fact.ids) for fact in facts), default=0), "use shorter templates")

    def run(ids: torch.Tensor) -> list[int]:
        import torch

        logits = model.trace(ids, positions=[-1]).logits[:, -1]
        top = logits.amax(-1, keepdim=True)
        best = torch.where((logits == top).sum(-1) == 1, logits.argmax(-1), -1)
        return [int(i) for i in torch.where(logits.isnan().any(-1), -2, best).tolist()]

    if not facts:
        return np.empty(0, dtype=np.int64)
    found = in_passes(model, [fact.ids for fact in facts], run, kept_per_row=2 * int(model.vocab_size))
    if -2 in found:
        raise NonFiniteMeasurement(f"{model.id}: the logits after {facts[found.index(-2)].prompt!r} are not finite")
    return np.array(found, dtype=np.int64)
