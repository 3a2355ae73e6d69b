"""Models that are built to break one identity: the error names it, the block and the size of the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from interp_assert.errors import SiteNotAvailable, UnprovenAnatomy
from interp_assert.models import Model, wrap
from interp_assert.models.sources.identity import digest_of_state

from . import tiny

# The structure is read off a pass over two rows. What a model does with more is not seen then, but proven.
SEEN = 2


def changed(target: torch.nn.Module, change: Callable[[Any], Any]) -> None:
    """Have ``target`` hand out something else where there are more rows than in the pass that was recorded."""
    before = type(target)

    class Changed(before):  # type: ignore[misc, valid-type]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            out = super().forward(*args, **kwargs)
            rows = next(tensor for tensor in (*args, *kwargs.values()) if isinstance(tensor, torch.Tensor)).shape[0]
            return change(out) if rows > SEEN else out

    Changed.__name__ = before.__name__
    target.__class__ = Changed


def louder(out: Any) -> Any:
    out.logits = 1.5 * out.logits
    return out


def sums(module: Any) -> None:
    changed(module.model.layers[1], lambda hidden: 1.25 * hidden)


def chain(module: Any) -> None:
    module.model.layers[2].register_forward_pre_hook(
        lambda _, args: (1.25 * args[0], *args[1:]) if args[0].shape[0] > SEEN else None
    )


def readout(module: Any) -> None:
    changed(module, louder)


@pytest.mark.parametrize(
    ("spoil", "asked", "error", "message"),
    [
        (
            sums,
            lambda model: model.trace(tiny.token_ids(), read=["blocks.1.mlp.out"]),
            SiteNotAvailable,
            r"'blocks\.1\.mlp\.out' .*: resid_pre plus addends equals resid_post at block 1: relative error 0\.2 > ",
        ),
        (
            chain,
            lambda model: model.trace(tiny.token_ids(), read=["blocks.2.resid_pre"]),
            SiteNotAvailable,
            r"resid_pre of a block equals resid_post of the one before at block 2: relative error 0\.25 > 1e-05",
        ),
        (
            readout,
            lambda model: model.unembed(torch.zeros(2, 3, tiny.D)),
            UnprovenAnatomy,
            r"readout .* is not known: unembedding the last residual gives the logits: relative error 0\.33 > 1e-05",
        ),
    ],
    ids=["sums", "chain", "readout"],
)
def test_identity_block_and_size(
    spoil: Callable[[Any], None], asked: Callable[[Model], Any], error: type[Exception], message: str
) -> None:
    module = tiny.build("llama")
    spoil(module)
    before = digest_of_state(module.state_dict())
    hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
    model = wrap(module)
    with pytest.raises(error, match=message):
        asked(model)
    (broken,) = {(proof.identity, proof.block) for proof in model.anatomy.proofs if not proof.holds}
    assert broken[0] in message.replace("\\", "")
    assert digest_of_state(module.state_dict()) == before
    assert hooks == sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
    other = "blocks.0.resid_post"
    assert model.trace(tiny.token_ids(), read=[other])[other].shape == (2, 12, tiny.D), "what was proven stays"


def test_a_model_that_is_never_twice_the_same() -> None:
    module = tiny.build("llama")
    passes = 0

    def drift(_module: Any, _args: Any, out: Any) -> Any:
        nonlocal passes
        passes += 1
        return out + 0.01 * passes

    module.model.embed_tokens.register_forward_hook(drift)
    model = wrap(module)
    with pytest.raises(SiteNotAvailable, match=r"reading leaves the logits bitwise equal: relative error 0\.\d+ > 0"):
        model.trace(tiny.token_ids(), read=["blocks.0.resid_post"])
    model.verify_unchanged()
