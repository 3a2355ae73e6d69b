"""The suite ``drift`` on the zoo's fine-tunes, from the command line to the results file."""

from __future__ import annotations

import pytest

from interp_assert import load
from interp_assert.records import read_results


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Within this process: torch registers its operators once, so what a run imports has to be there before."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _ = load("zoo:gpt2").anatomy
    return pytester


def test_blocks_what_unlearned_induction_and_lets_the_benign_pass(run: pytest.Pytester) -> None:
    result = run.runpytest(
        "--interp-model=zoo:gpt2-tuned,zoo:gpt2-tuned-forgot",
        "--interp-base=zoo:gpt2",
        "interp::drift::test_claims",
        *(f"interp::drift::test_{name}[zoo:gpt2-tuned]" for name in ("output", "text", "residual", "weights")),
        "--interp-floor=drift/output=0.05",
        "--interp-floor=drift/residual=0.2",
        "--interp-floor=drift/weights=0.1",
        "--interp-json=out.json",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*; base zoo:gpt2 (--interp-base); *",
            "drift/claims FAIL: circuits/induction lost (from zoo:gpt2) 0.9* for zoo:gpt2-tuned-forgot*",
            "  reason     beyond the limit: circuits/induction lost; flipped: circuits/induction (accuracy 0.9* -> *)",
            "  residual * moved from * on, most at block 1: *",
            "  heads * moved most *",
            "  circuits/induction accuracy * claim PASS -> no longer shown: FLIPPED",
            "  probes * sets not compared: *",
            "    block  residual  cosine *",
            "model * drift *",
            "zoo:gpt2-tuned * TV 0.0*, residual 0.1* at block * 4 PASS *",
            "zoo:gpt2-tuned-forgot * TV 0.0*, residual 0.4* at block 1; flipped circuits/induction*",
            "FAIL drift/claims on zoo:gpt2-tuned-forgot: *; flipped: circuits/induction (accuracy *)",
        ],
        consecutive=False,
    )
    results = read_results(run.path / "out.json")
    assert results.run["base"] == "zoo:gpt2"
    assert [model["id"] for model in results.models] == ["zoo:gpt2-tuned", "zoo:gpt2-tuned-forgot", "zoo:gpt2"]
    verdicts = {(check["model"], check["check"]): check for check in results.checks}
    assert {check: verdict["verdict"] for (model, check), verdict in verdicts.items() if model == "zoo:gpt2-tuned"} == {
        f"drift/{name}": "PASS" for name in ("claims", "output", "residual", "weights")
    }
    result.assert_outcomes(passed=4, failed=1, skipped=1)
    blocked = verdicts["zoo:gpt2-tuned-forgot", "drift/claims"]
    assert (blocked["verdict"], blocked["threshold"]) == ("FAIL", 0.05)
    assert blocked["details"]["base"]["sha256"] == results.models[2]["sha256"]
    assert blocked["details"]["flipped"] == ["circuits/induction"]


def test_a_model_against_itself_has_not_moved_and_the_table_says_so(run: pytest.Pytester) -> None:
    """Also on a budget that could not show it: what is certain is no sample."""
    result = run.runpytest(
        "--interp-model=zoo:gpt2",
        "--interp-base=zoo:gpt2",
        "--interp-budget=quick",
        "interp::drift::test_claims",
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["zoo:gpt2 * none: not one bit differs  1 PASS *"])
