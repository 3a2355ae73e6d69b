"""Backends: do other libraries see in this model what interp-assert sees, and does the same edit do the same there?

Asked for by name: ``--interp-suites=backends``. A library that is not installed, or that does not know the
architecture, is skipped with its reason. Every site that both can name is compared, to a relative 1e-5 in float32.
"""

from __future__ import annotations

import pytest

from interp_assert import Model
from interp_assert.bridges import BackendUnavailable, compare, open_backend


def test_transformer_lens_captures(interp_model: Model) -> None:
    """What TransformerLens shows at its hook points is what our sites hold."""
    agree(interp_model, "transformer_lens", "capture")


def test_transformer_lens_edits(interp_model: Model) -> None:
    """An edit through a hook point of TransformerLens gives the logits that ours gives."""
    agree(interp_model, "transformer_lens", "edit")


def test_nnsight_captures(interp_model: Model) -> None:
    """What nnsight shows at modules and at the attention function is what our sites hold."""
    agree(interp_model, "nnsight", "capture")


def test_nnsight_edits(interp_model: Model) -> None:
    """An edit through nnsight gives the logits that ours gives."""
    agree(interp_model, "nnsight", "edit")


def agree(model: Model, library: str, kind: str) -> None:
    """Compare, and fail with every site on which the two differ."""
    try:
        backend = open_backend(library, model)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    compared = compare(model, backend, kinds=[kind])
    wrong = [agreement.describe() for agreement in compared if not agreement.holds]
    if wrong:
        pytest.fail(f"{len(wrong)} of {len(compared)} comparisons differ:\n" + "\n".join(wrong), pytrace=False)
    assert compared, f"{library} and interp-assert name no site in common"
