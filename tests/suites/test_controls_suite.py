"""The suite ``controls`` on a trained model, on one that was not, and with what another package brings."""

from __future__ import annotations

import os

import pytest
from models.tiny_models import llama, save

from interp_assert.records import read_results


def test_a_trained_model_passes_and_an_untrained_one_does_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save(llama(), pytester.path / "small", tokenizer=False)
    package = pytester.mkpydir("mine")
    (package / "length.py").write_text(
        """
from interp_assert import measurement

@measurement("mine/length", prompts=[[1] * k for k in range(1, 31)], hi=100)
def length(model, prompts):
    return [len(prompt) for prompt in prompts]
"""
    )
    described = pytester.mkdir("mine-1.0.dist-info")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[interp_assert.measures]\nlength = mine.length:length\n")
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}", prepend=os.pathsep)
    pytester.makeconftest(
        """
        from interp_assert import measurement, register_measurement

        @register_measurement
        @measurement("mine/state", prompts=[[1, 2, k] for k in range(30)], null=lambda row, rng: row[::-1])
        def state(model, prompts):
            return model.trace(prompts, ["blocks.0.state"])["blocks.0.state"].mean((1, 2, 3, 4)).sigmoid()
        """
    )
    result = pytester.runpytest_subprocess(
        "interp::controls",
        "--interp-model=zoo:gpt_neox,small=./small",
        "--interp-budget=quick",
        "--interp-json=out.json",
        "-p",
        "no:hypothesispytest",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    verdicts = {(c["model"], c["check"]): c["verdict"] for c in read_results(pytester.path / "out.json").checks}
    checks = ("controls/permuted_weights", "controls/kept_embeddings", "controls/steering", "mine/state", "mine/length")
    assert [verdicts["zoo:gpt_neox", check] for check in checks] == [
        *["PASS"] * 3,
        "NOT_APPLICABLE",
        "INCONCLUSIVE",
    ]
    assert [verdicts["small", check] for check in checks] == [
        *["INCONCLUSIVE"] * 2,
        *["NOT_APPLICABLE"] * 2,
        "INCONCLUSIVE",
    ]
    own = [line for line in result.outlines if "test_own" in line and line.startswith("FAILED")]
    assert len(own) == 2, "what one measurement lacks is no excuse for another"
    result.stdout.fnmatch_lines(["INCONCLUSIVE mine/length on small: 15.5 against * (n = 30); not decided: *"])
