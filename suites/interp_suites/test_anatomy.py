"""Anatomy: does the model keep what every language model keeps, and are its sites what they say they are?

What an author of a new port of a model runs first. Each identity is searched for an input on which it does not hold;
what is found is shrunk and shown. Later ones rely on earlier ones, so look at the first that is red.
"""

from __future__ import annotations

from typing import Any

from interp_assert import Model, assert_conforms


def test_determinism(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """The same input twice, with another one in between, gives the same bits at every block."""
    assert_conforms(interp_model, "determinism", **interp_search)


def test_batch_invariance(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """A row in a batch is what it is alone."""
    assert_conforms(interp_model, "batch_invariance", **interp_search)


def test_causality(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """A change at a position moves nothing before it, at any block."""
    assert_conforms(interp_model, "causality", **interp_search)


def test_chain(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """What enters a block is what left the one before: ``resid_pre[i + 1] == resid_post[i]``."""
    assert_conforms(interp_model, "chain", **interp_search)


def test_blocks(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """Every block of the stack runs and adds something to the stream."""
    assert_conforms(interp_model, "blocks", **interp_search)


def test_sums(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """What enters a block plus what its components add is what leaves it: ``resid_pre + addends == resid_post``."""
    assert_conforms(interp_model, "sums", **interp_search)


def test_readout(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """The last residual, normed once and unembedded, gives the logits."""
    assert_conforms(interp_model, "readout", **interp_search)


def test_write_back(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """Every site can be read and written, and what is written back unchanged leaves the logits bitwise equal."""
    assert_conforms(interp_model, "write_back", **interp_search)


def test_self_patch(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """Writing a site's own value, read in another pass, leaves the logits bitwise equal."""
    assert_conforms(interp_model, "self_patch", **interp_search)


def test_attention(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """What a head gives is its values, weighted by shares that add up to 1 at most, none of them for the future."""
    assert_conforms(interp_model, "attention", **interp_search)


def test_overwriting(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """What is overwritten changes its own block's exit and the logits, and nothing before its block."""
    assert_conforms(interp_model, "overwriting", **interp_search)


def test_foreign_rows(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """An edit of one row moves no other row, and is gone when its pass is over."""
    assert_conforms(interp_model, "foreign_rows", **interp_search)


def test_padding(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """Padding that is masked moves nothing, nor do tokens that follow (all that a recurrent model is asked)."""
    assert_conforms(interp_model, "padding", **interp_search)


def test_cache_stepping(interp_model: Model, interp_search: dict[str, Any]) -> None:
    """One token at a time with the cache gives the logits of the full pass, and the states of a recurrence."""
    assert_conforms(interp_model, "cache_stepping", **interp_search)
