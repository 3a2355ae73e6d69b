"""A block's residual sum done again with the addends that were read, for the identity that proves them."""

from __future__ import annotations

import torch

from ..anatomy import Anatomy
from ..recording.residual import Factor


def replayed(
    anatomy: Anatomy, index: int, replay: list[tuple[str, object]], values: dict[str, torch.Tensor]
) -> torch.Tensor:
    """resid_post made of resid_pre and the addends that were read, by the block's own residual sum."""
    before = values[f"blocks.{index}.resid_pre"]
    if replay[0][0] != "stream":
        return _added_up(anatomy, index, replay, before, values)
    marks = [at for at, (action, _) in enumerate(replay) if action == "stream"]
    spans = zip(marks, [*marks[1:], len(replay)], strict=True)
    sums = [
        _added_up(anatomy, index, replay[start + 1 : end], before[:, :, number], values)
        for number, (start, end) in enumerate(spans)
    ]
    return torch.stack(sums, dim=2)


def _added_up(
    anatomy: Anatomy,
    index: int,
    replay: list[tuple[str, object]],
    before: torch.Tensor,
    values: dict[str, torch.Tensor],
) -> torch.Tensor:
    stream = before.double()
    for action, what in replay:
        if action == "add":
            for kind in what:  # type: ignore[attr-defined]
                stream = stream + values[f"blocks.{index}.{kind}.out"].double()
        elif action == "norm":
            norm = anatomy.root.get_submodule(str(what))
            stream = norm(stream.to(before.dtype)).double().to(stream.device)
        elif action == "cast":
            assert isinstance(what, torch.dtype)
            stream = stream.to(what).double()
        else:
            assert isinstance(what, Factor)
            factor = what.resolve(anatomy.root, stream.device)
            stream = stream * factor if action == "scale" else stream + factor
    return stream
