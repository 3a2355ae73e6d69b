"""What must not matter: later tokens, other rows of the batch, padding."""

from __future__ import annotations

from typing import Any

import torch

from ..models.taps.tap import take
from .check import Comparison
from .distances import distance
from .finding import Example, Seen
from .passes import Passes, stream_of

__all__ = ["compare_alone", "compare_earlier", "compare_padded", "lacks_padding", "lacks_rows"]


def compare_earlier(passes: Passes, example: Example) -> Comparison:
    """Another token at a position moves nothing before it, at no block."""
    length = example.ids.shape[1]
    chosen = [example.position] if example.position is not None else range(1, length)
    places = stream_of(passes)
    before = passes.look(example.ids, places)
    seen = []
    for position in chosen:
        other = example.ids.clone()
        other[:, position] = _another_token(passes, example.ids, position)
        after = passes.look(other, places)
        seen += [
            Seen(
                place,
                distance(after[place][:, :position], before[place][:, :position]),
                f"another token at position {position} moves what is before it",
            )
            for place in places
        ]
    return Comparison(seen)


def _another_token(passes: Passes, ids: torch.Tensor, position: int) -> torch.Tensor:
    """For each row a token of the same row that stands elsewhere, or the next id."""
    here = ids[:, position]
    other = ids.roll(1, dims=1)[:, position]
    return torch.where(other == here, (here + 1) % passes.model.vocab_size, other)


def compare_alone(passes: Passes, example: Example) -> Comparison:
    """Each row by itself is what it is in the batch."""
    places = stream_of(passes)
    together = passes.look(example.ids, places)
    seen = []
    for row in range(example.ids.shape[0]):
        alone = passes.look(example.ids[row : row + 1], places)
        seen += [
            Seen(
                place,
                distance(together[place][row : row + 1], alone[place]),
                f"row {row} of a batch is not what it is alone",
            )
            for place in places
        ]
    return Comparison(seen)


def compare_padded(passes: Passes, example: Example) -> Comparison:
    """Rows of unequal length, padded on the right and masked, are what they are alone (models that mask); tokens that
    follow move nothing before them (causal models)."""
    length = example.ids.shape[1]
    cut = length // 2 if example.position is None else example.position
    cut = min(max(1, cut), length - 1)
    places = stream_of(passes)
    short = passes.look(example.ids[:, :cut], places)
    seen = []
    if "causality" not in passes.anatomy.missing:
        full = passes.look(example.ids, places)
        seen += [
            Seen(
                place,
                distance(full[place][:, :cut], short[place]),
                f"what follows position {cut - 1} moves what is before it",
            )
            for place in places
        ]
    if masks(passes):
        seen += _masked(passes, example, cut, short["logits"])
    return Comparison(seen)


def _masked(passes: Passes, example: Example, cut: int, short: torch.Tensor) -> list[Seen]:
    """The first row keeps its length, the others are cut and padded."""
    ids, mask = example.ids.repeat(2, 1), torch.ones_like(example.ids.repeat(2, 1))
    rows = example.ids.shape[0]
    ids[rows:, cut:] = pad_id(passes)
    mask[rows:, cut:] = 0
    out = take(passes.call(ids, attention_mask=mask), passes.anatomy.logits_at)
    what = f"a row of {cut} tokens, padded to {ids.shape[1]} and masked, is not what it is alone"
    return [Seen("logits", distance(out[rows:, :cut], short), what)]


def masks(passes: Passes) -> bool:
    """Whether padding is masked away: every block mixes positions by attention only. A recurrence takes pads in."""
    kinds = {kind for block in passes.anatomy.blocks for kind in block.kinds}
    return "attn" in kinds and not kinds & {"ssm", "mixer"} and passes.accepts("attention_mask")


def pad_id(passes: Passes) -> int:
    """The pad token of the config, else the first id."""
    pad: Any = getattr(passes.model.config, "pad_token_id", None)
    return pad if isinstance(pad, int) and 0 <= pad < passes.model.vocab_size else 0


def lacks_padding(passes: Passes) -> str | None:
    """A model that neither masks nor is causal has nothing to say of padding."""
    if masks(passes) or "causality" not in passes.anatomy.missing:
        return None
    return "it takes no attention mask and is not causal"


def lacks_rows(passes: Passes) -> str | None:
    """Every model takes batches."""
    return None
