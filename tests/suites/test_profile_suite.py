"""The suite ``profile``: rows in the terminal and in the results file, and no verdict."""

from __future__ import annotations

import pytest
from models.tiny_models import llama, save

from interp_assert.records import read_results


def test_every_model_has_its_row_and_nothing_is_decided(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "400")
    save(llama(), pytester.path / "small", tokenizer=False)
    pytester.makeconftest(
        """
        from interp_assert import measurement, register_measurement

        @register_measurement
        @measurement("mine/length", prompts=[[1] * k for k in range(1, 31)], hi=100)
        def length(model, prompts):
            "How long it is."
            return [len(prompt) for prompt in prompts]
        """
    )
    result = pytester.runpytest_subprocess(
        "interp::profile",
        "--interp-model=zoo:gpt_neox,small=./small",
        "--interp-budget=quick",
        "--interp-json=out.json",
        "-p",
        "no:hypothesispytest",
    )
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= interp: profile =*",
            "model * architecture * parameters * induction * truth probe * steering * mine/length * seconds",
            "zoo:gpt_neox * gpt_neox * K * 1.000 *",
            "small * llama * K * 0.0* n/a *",
            "induction: share of answers that are right on the second copy of random tokens",
            "at most 128 clusters for each figure, seed 0; *",
            "n/a lens crossover on small: it has no tokenizer, so facts cannot be put into its tokens",
        ]
    )
    results = read_results(pytester.path / "out.json")
    assert results.checks == ()
    assert [profile["model"] for profile in results.profiles] == ["zoo:gpt_neox", "small"]
    assert all(profile["figures"][0]["n"] == 128 for profile in results.profiles)
