"""``interp-assert anatomy ID``: the structure, its proofs and its gaps; one line for what cannot be opened."""

from __future__ import annotations

import pytest

from interp_assert.cli import main


def test_it_shows_sites_proofs_and_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anatomy", "zoo:gpt_neox"]) == 0
    shown = capsys.readouterr().out
    assert "blocks.{i}.attn.pattern   (batch, head=2, query, key), 4 blocks" in shown
    assert "blocks.{i}.attn.k         (batch, pos, kv_head=2, d_head=32), 4 blocks" in shown
    assert "unembedding the last residual gives the logits: relative error" in shown
    assert "overwriting changes the logits: exactly (resid_post, embed, attn.q, attn.k" in shown
    assert "\n  resid_mid: attn and mlp are added in parallel" in shown
    assert "proven on first use" not in shown


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anatomy", "zoo:nobody"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("interp-assert: the zoo has no model 'nobody'")
    assert error.count("\n") == 1
