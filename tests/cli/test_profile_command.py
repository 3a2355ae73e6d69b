"""``interp-assert profile ID``: the row of each model, printed and written without pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.tiny_models import llama, save
from records.schema import departures

from interp_assert.cli import main
from interp_assert.measures import measurement
from interp_assert.models import Model
from interp_assert.profiles import measures
from interp_assert.records import read_results


def test_it_prints_and_writes_one_row_per_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["profile", "zoo:gpt_neox", "zoo:gpt2", "--budget=quick", "--only=circuits/induction"]
    written = [f"--json={tmp_path / 'p.json'}", f"--markdown={tmp_path / 'p.md'}"]
    assert main([*asked, *written]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("zoo:")] == [
        ["zoo:gpt_neox", "gpt_neox"],
        ["zoo:gpt2", "gpt2"],
    ]
    assert "lens" not in shown
    results = read_results(tmp_path / "p.json")
    assert departures(results.as_dict()) == []
    assert [model["id"] for model in results.models] == [entry["model"] for entry in results.profiles]
    assert results.checks == ()
    assert results.profiles[0]["figures"][0]["n"] == 128
    assert (tmp_path / "p.md").read_text().count("| zoo:gpt") == 2


def test_a_figure_that_is_not_finite_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @measurement("mine/nothing", prompts=[1, 2])
    def nothing(model: Model, prompts: list[int]) -> list[float]:
        return [float("nan")] * len(prompts)

    monkeypatch.setattr(measures, "_of_packages", lambda: [("here", nothing)])
    assert main(["profile", "zoo:gpt_neox", "--budget=quick", "--only=mine/nothing"]) == 1
    shown = capsys.readouterr().out
    assert "broken mine/nothing on zoo:gpt_neox: not finite: mine/nothing is nan" in shown


def test_a_model_that_cannot_be_opened_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    broken = llama()
    broken.model.norm.weight.data[0] = float("nan")  # type: ignore[union-attr,operator]
    save(broken, tmp_path / "broken", tokenizer=False)
    asked = [str(tmp_path / "broken"), "zoo:gpt_neox", "--budget=quick", "--only=circuits/induction"]
    assert main(["profile", *asked, f"--json={tmp_path / 'p.json'}"]) == 1
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert rows["zoo:gpt_neox"][3] == "1.000"
    assert rows[str(tmp_path / "broken")][:3] == ["-", "-", "broken"]
    assert f"broken induction on {tmp_path / 'broken'}: " in shown
    assert "the weights are not finite: model.norm.weight (torch.float32) holds NaN" in shown
    results = read_results(tmp_path / "p.json")
    assert departures(results.as_dict()) == []
    assert [model["id"] for model in results.models] == ["zoo:gpt_neox"]
    assert [entry["figures"][0]["broken"] for entry in results.profiles] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zoo:nobody"], "the zoo has no model 'nobody'"),
        (["zoo:gpt_neox", "--only=x/y"], "no measurement 'x/y'"),
        (["zoo:gpt_neox", "--budget=huge"], "unknown budget 'huge'"),
        (["zoo:gpt_neox", "--seed=-1"], "seed=-1"),
        (["zoo:gpt_neox", "--json=nowhere/p.json"], "nowhere/p.json: there is no folder nowhere"),
        (["zoo:gpt_neox", "--base=zoo:nobody"], "the zoo has no model 'nobody'"),
        (
            ["zoo:gpt_neox", "--only=drift/output"],
            "drift/output needs a model to be measured against",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
