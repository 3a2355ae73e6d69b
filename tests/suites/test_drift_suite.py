"""The suite ``drift`` on real fine-tunes, from the command line to the results file."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_assert.models import Model
from interp_assert.records import read_results


@pytest.fixture
def directories(
    pytester: pytest.Pytester, finetunes: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A directory with ``benign`` and ``forgot``, saved as their users would save them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("benign", "forgot"):
        place = Path(pytester.path / name)
        finetunes[name].module.save_pretrained(place)  # type: ignore[operator]
        finetunes["base"].tokenizer.save_pretrained(place)  # type: ignore[union-attr]
    return pytester


def test_blocks_what_unlearned_induction_and_lets_the_benign_pass(directories: pytest.Pytester) -> None:
    result = directories.runpytest(
        "--interp-model=benign=./benign,forgot=./forgot",
        "--interp-base=zoo:gpt2",
        "interp::drift::test_claims",
        "interp::drift::test_residual[benign]",
        "--interp-floor=drift/claims=0.06",
        "--interp-json=out.json",
        "-v",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*; base zoo:gpt2 (--interp-base); *",
            "interp::drift::test_claims?benign? PASSED*",
            "interp::drift::test_residual?benign? SKIPPED *no limit is set*",
            "interp::drift::test_claims?forgot? FAILED*",
            "drift/claims FAIL: circuits/induction lost (from zoo:gpt2) * for forgot*",
            "  residual   moved from * on, most at block *",
            "  circuits/induction accuracy * claim PASS -> *: FLIPPED",
            "model * drift *",
            "benign * TV 0.0*, residual 0.0* at block *",
            "forgot * TV 0.*, residual 0.* at block *; flipped circuits/induction*",
        ],
        consecutive=False,
    )
    results = read_results(directories.path / "out.json")
    assert results.run["base"] == "zoo:gpt2"
    assert [model["id"] for model in results.models] == ["benign", "forgot", "zoo:gpt2"]
    verdicts = {(check["model"], check["check"]): check for check in results.checks}
    assert verdicts["benign", "drift/claims"]["verdict"] == "PASS"
    assert verdicts["benign", "drift/claims"]["threshold"] == 0.06
    blocked = verdicts["forgot", "drift/claims"]
    assert blocked["verdict"] == "FAIL"
    assert blocked["details"]["base"]["sha256"] == results.models[2]["sha256"]
    assert blocked["details"]["flipped"] == ["circuits/induction"]
