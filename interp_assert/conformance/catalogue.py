"""Every check of conformance, in the order in which a model is best asked: what later ones rely on comes first."""

from __future__ import annotations

from .attention import compare_attention, lacks_patterns
from .check import Check
from .invariance import compare_alone, compare_earlier, compare_padded, lacks_padding
from .stepping import compare_stepping, lacks_cache
from .stream import (
    compare_blocks,
    compare_chain,
    compare_readout,
    compare_repeats,
    compare_sums,
    lacks_readout,
    lacks_sums,
)
from .writes import (
    compare_foreign_rows,
    compare_overwriting,
    compare_self_patch,
    compare_write_back,
    lacks_writable,
)

__all__ = ["CHECKS"]

_LISTED = (
    Check("determinism", "the same input gives the same bits", compare_repeats),
    Check("batch_invariance", "a row in a batch is what it is alone", compare_alone, rows=(2, 4)),
    Check("causality", "a change at a position moves nothing before it", compare_earlier, draws=("position",)),
    Check("chain", "what enters a block is what left the one before", compare_chain),
    Check("blocks", "every block runs and adds to the stream", compare_blocks, costs=4),
    Check("sums", "what enters a block plus what its components add is what leaves it", compare_sums, lacks_sums),
    Check(
        "readout",
        "the last residual, normed once and unembedded, gives the logits",
        compare_readout,
        lacks_readout,
        costs=2,
    ),
    Check(
        "write_back",
        "what is read, or written back unchanged, changes no logit",
        compare_write_back,
        lacks_writable,
        costs=2,
    ),
    Check(
        "self_patch",
        "a site's own value, read in another pass, changes no logit",
        compare_self_patch,
        lacks_writable,
        costs=2,
    ),
    Check(
        "attention",
        "what a head gives is its values, weighted by what it attends to",
        compare_attention,
        lacks_patterns,
    ),
    Check(
        "overwriting",
        "what is overwritten changes its own block first, and the logits",
        compare_overwriting,
        lacks_writable,
        rows=(1, 1),
        length=(3, 10),
        distinct=True,  # what is attended to does not matter where all tokens are the same
        costs=8,
    ),
    Check(
        "foreign_rows",
        "an edit of one row moves no other row and is gone after its pass",
        compare_foreign_rows,
        lacks_writable,
        rows=(2, 4),
        draws=("position", "edit"),
    ),
    Check(
        "padding",
        "padding that is masked, and tokens that follow, move nothing",
        compare_padded,
        lacks_padding,
        draws=("position",),
    ),
    Check(
        "cache_stepping",
        "stepping with the cache gives the logits and the states of the full pass",
        compare_stepping,
        lacks_cache,
        draws=("position",),
    ),
)

CHECKS = {check.name: check for check in _LISTED}
"""By name, in order."""
