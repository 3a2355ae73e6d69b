"""A model that is broken in one way is red in the check that speaks of it, and in no earlier one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from interp_assert.conformance import CHECKS, Passes, search
from interp_assert.models import Model

from . import broken

Case = tuple[Callable[[], Model], str, str, str]
CASES: dict[str, Case] = {
    "a module that changes": (broken.stateful, "determinism", "blocks.1.resid_post", "twice gives different values"),
    "a norm over the batch": (
        broken.batch_dependent,
        "batch_invariance",
        "blocks.1.resid_post",
        "not what it is alone",
    ),
    "a hook on the block before": (
        broken.shifted("resid_post", -1),
        "chain",
        "blocks.2.resid_pre",
        "not blocks.1.resid_post, which left the one before",
    ),
    "a hook on the block after": (broken.shifted("resid_pre", 1), "chain", "blocks.1.resid_pre", "blocks.0.resid_post"),
    "a block passed over": (broken.block_passed_over, "blocks", "blocks.1.resid_post", "adds nothing to the stream"),
    "a block left out": (broken.block_left_out, "blocks", "None", "model.layers.2 never runs"),
    "an addend of the block after": (broken.shifted("attn.out", 1), "sums", "blocks.0.resid_post", "is not resid_post"),
    "a norm that runs twice": (
        broken.norm_applied_twice,
        "readout",
        "final_norm",
        "model.norm.norm normalises 2 times",
    ),
    "a norm unembedded twice": (broken.norm_unembedded_twice, "readout", "logits", "unembedding blocks.2.resid_post"),
    "a hook that never fires": (broken.dead_hook, "write_back", "None", "'blocks.1.mlp.neurons' never fired"),
    "rows taken for positions": (broken.turned_axes, "write_back", "blocks.1.mlp.neurons", "not (batch, pos, d_mlp)"),
    "a pattern of the block before": (
        broken.shifted("attn.pattern", -1),
        "attention",
        "blocks.1.attn.head_out",
        "not its values weighted by its pattern",
    ),
    "queries of the block before": (
        broken.shifted("attn.q", -1),
        "overwriting",
        "blocks.1.attn.q",
        "moves blocks.0.resid_post, which comes before it",
    ),
    "neurons of the block after": (
        broken.shifted("mlp.neurons", 1),
        "overwriting",
        "blocks.0.mlp.neurons",
        "does not change its own block's exit",
    ),
    "a site written elsewhere": (broken.written_elsewhere, "overwriting", "blocks.0.mlp.neurons", "does not change"),
    "attention to the future": (
        broken.not_causal,
        "causality",
        "blocks.1.resid_post",
        "position 1 moves what is before",
    ),
    "a leak after the last block": (broken.leak_at_the_end, "causality", "logits", "position 1 moves what is before"),
    "a norm that knows the length": (
        broken.length_dependent,
        "padding",
        "blocks.1.resid_post",
        "what follows position 0",
    ),
    "positions that count pads": (broken.padding_counted, "padding", "logits", "padded to 2 and masked"),
    "a cache that is forgotten": (broken.forgetful_cache, "cache_stepping", "logits", "from position 1 on"),
    "a cache that shifts positions": (broken.shifted_cache, "cache_stepping", "logits", "from position 1 on"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_red_check_is_the_right_one_and_names_the_place(
    case: str, ids_of: Callable[..., torch.Tensor]
) -> None:
    make, right, site, said = CASES[case]
    model = make()
    passes = Passes.of(model)
    for name in [*CHECKS][: [*CHECKS].index(right)]:
        if CHECKS[name].lacks(passes) is None:
            assert CHECKS[name](model, ids_of(model), passes=passes).holds, name
    finding = search(model, CHECKS[right], budget="quick", passes=passes).finding
    assert not finding.holds
    assert str(finding.site) == site
    assert said in finding.fault
    assert finding.example.ids.shape[1] <= 3, "it was not shrunk"


ALONE = ("a block passed over", "a norm that runs twice", "a norm unembedded twice", "positions that count pads")


@pytest.mark.parametrize("case", ALONE)
def test_a_fault_that_nothing_follows_from_is_one_red_check(case: str, ids_of: Callable[..., torch.Tensor]) -> None:
    make, right, *_ = CASES[case]
    model = make()
    passes = Passes.of(model)
    asked = [check for check in CHECKS.values() if check.lacks(passes) is None]
    assert [c.name for c in asked if not c(model, ids_of(model), passes=passes).holds] == [right]


def test_the_first_block_that_sees_the_future_is_named_at_full_length(ids_of: Callable[..., torch.Tensor]) -> None:
    model = broken.not_causal()
    finding = CHECKS["causality"](model, ids_of(model, rows=2, length=8), position=5)
    assert not finding.holds
    assert (finding.site, finding.example.position) == ("blocks.1.resid_post", 5)
    assert finding.size > 1e-2 > finding.limit
    assert "too much for rounding" in finding.note
