"""From entries to the gate that is run: which claims about which models, and what cannot be."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from interp_assert.gates import GateProblem

from .suites import TODAY, gate_of

TOY = "suites: [toy]\n"
TWICE = "waivers: [%s, %s]" % (2 * ("{model: zoo:alpha, claim: toy/claim, reason: r, owner: o, expires: 2026-04-01}",))
WAIVER = "waivers: [{model: zoo:alpha, claim: toy/claim, reason: r, owner: o, expires: %s}]\n"


def claims_of(text: str, folder: Path) -> dict[tuple[str, str], dict[str, object]]:
    gate = gate_of(text, folder)
    return {(claim["model"], claim["check"]): claim for claim in gate.as_dict()["claims"]}


class TestModels:
    def test_a_directory_is_relative_to_the_file_and_called_by_its_last_part(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir("/")
        gate = gate_of(TOY + "models: [./out/tuned, ../base, {id: ./ü 1, name: other}, last=./a b]", tmp_path)
        assert [(model.label, model.id) for model in gate.models] == [
            ("tuned", f"tuned={tmp_path / 'out' / 'tuned'}"),
            ("base", f"base={tmp_path.parent / 'base'}"),
            ("other", f"other={tmp_path / 'ü 1'}"),
            ("last", f"last={tmp_path / 'a b'}"),
        ]

    def test_revisions_and_checkpoints_are_models_of_their_own(self, tmp_path: Path) -> None:
        gate = gate_of(
            TOY + 'models: [{id: org/m, revision: [main, "512"]}, {id: org/n, revision: main, name: n}, org/o@v1]',
            tmp_path,
        )
        assert [(model.id, model.label) for model in gate.models] == [
            ("org/m@main", "org/m@main"),
            ("org/m@512", "org/m@512"),
            ("n=org/n@main", "n"),
            ("org/o@v1", "org/o@v1"),
        ]
        steps = gate_of(TOY + "models: ['zoo:gpt_neox@all']", tmp_path).models
        assert len(steps) > 1
        assert all(model.label.startswith("zoo:gpt_neox@") for model in steps)

    def test_a_folder_of_checkpoints_is_every_one_of_them(self, tmp_path: Path) -> None:
        for step in (64, 512):
            (tmp_path / "out" / f"checkpoint-{step}").mkdir(parents=True)
        for text in ("./out", "./out@all", "out=./out"):
            gate = gate_of(TOY + f"models: ['{text}']", tmp_path)
            assert [(model.label, model.id) for model in gate.models] == [
                (f"out@{step}", f"out@{step}={tmp_path}/out/checkpoint-{step}") for step in (64, 512)
            ]

    def test_each_has_its_own_base_suites_and_claims(self, tmp_path: Path) -> None:
        text = """
        suites: [toy]
        claims: {toy/claim: {floor: .5, why: because}}
        models:
          - zoo:alpha
          - {id: zoo:beta, base: ./base, suites: [drift], claims: {toy/claim: {floor: .7}, drift/output: {limit: .1}}}
        """
        gate = gate_of(text, tmp_path)
        alpha, beta = gate.models
        assert [claim.check for claim in alpha.claims] == ["toy/claim", "toy/other"]
        assert [claim.check for claim in beta.claims] == ["drift/claims", "drift/output", "toy/claim"]
        assert (alpha.base, beta.base) == (None, (f"base={tmp_path / 'base'}", "base"))
        floors = {(model, check): claim["floor"] for (model, check), claim in claims_of(text, tmp_path).items()}
        assert floors["zoo:alpha", "toy/claim"] == 0.5
        assert floors["zoo:beta", "toy/claim"] == 0.7
        assert floors["zoo:beta", "drift/output"] == 0.1
        assert claims_of(text, tmp_path)["zoo:beta", "toy/claim"]["why"] == "because"

    def test_a_suite_stands_for_what_needs_no_limit_and_for_what_has_one(self, tmp_path: Path) -> None:
        text = "models: [{id: zoo:alpha, base: zoo:beta}]\nsuites: [drift]\n"
        assert [check for _, check in claims_of(text, tmp_path)] == ["drift/claims"]
        limited = text + "claims: {drift/weights: {limit: .2}}"
        assert [check for _, check in claims_of(limited, tmp_path)] == ["drift/claims", "drift/weights"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [zoo:a]\nsuites: [toys]", ":2:10: suites[0]: no suite 'toys'; did you mean 'toy'?"),
        ("models: [zoo:a]\nsuites: [gauge]", "suites[0]: the suite gauge lists no checks, so a gate cannot hold it"),
        ("models: [zoo:a]\nsuites: [toy, toy]", "suites[1]: the suite toy is named twice"),
        ("models: [zoo:a]\nclaims: {toy/clam: }", "claims.toy/clam: no check 'toy/clam'; did you mean 'toy/claim'?"),
        ("models: [zoo:a]\nclaims: {induction: }", "no check 'induction'; did you mean 'circuits/induction'?"),
        (
            "models: [zoo:a]\nclaims: {toy: }",
            "claims.toy: toy is a suite; write suites: [toy], or one of its checks: toy/",
        ),
        ("models: [zoo:a]", "models[0]: nothing is claimed of it; name suites (circuits, "),
        ("models: [{id: zoo:a, suites: []}]\nsuites: [toy]", "models[0]: nothing is claimed of it"),
        (TOY + "models: [zoo:a, zoo:a]", ":2:17: models[1]: the model zoo:a is in models[0] (line 2) already"),
        (TOY + "models: [./x/m, ./y/m]", "models[1]: the model m is in models[0] (line 2) already"),
        (TOY + "models: [{id: ./x, revision: main}]", "models[0].id: a directory has no revisions"),
        (TOY + "models: [{id: org/m@a, revision: b}]", "models[0].id: it has a revision already"),
        (TOY + "models: [{id: org/m, revision: [a, a]}]", "a revision is named twice"),
        (TOY + "models: [{id: org/m, revision: [a, b], name: n}]", "name: n is one name for 2 models"),
        (
            TOY + f"models: [{{id: org/m, revision: [a, b], sha256: '{'0' * 64}'}}]",
            "models[0].sha256: one sha256 cannot be that of 2 models",
        ),
        (TOY + "models: ['org/m@a,@b']", "write revision: [A, B]"),
        (TOY + "models: ['./a b']", "a model cannot be called 'a b'; write NAME=./a b"),
        (TOY + "models: [{id: x=./m, name: y}]", "two names, x and y"),
        (TOY + "models: ['zoo:nothing@all']", "models[0].id: "),
        (TOY + "models: ['http://host/m']", "models[0].id: 'http://host/m' is an address"),
        (TOY + "models: [{id: zoo:a, base: zoo:b}]", "models[0].base: no claim compares with it; add the suite drift"),
        (TOY + "models: [{id: zoo:a, coder: ./sae}]", "models[0].coder: no claim is about it; add the suite coders"),
        ("suites: [coders]\nmodels: [{id: zoo:a, coder: ./sae}]", "models[0].coder: no directory './sae' beside"),
        ("models: [zoo:a]\nsuites: [drift]", "models[0]: drift/claims compares with a base model; write base: ID"),
        (TOY + "models: [zoo:a]\nclaims: {toy/claim: {floor: 1.5}}", "a number of at least 0 and below 1, not 1.5"),
        (TOY + "models: [zoo:a]\nclaims: {toy/claim: {limit: .5}}", "of toy/claim higher is better; write floor: 0.5"),
        (
            "models: [{id: zoo:a, base: zoo:b}]\nclaims: {drift/output: {floor: .5}}",
            "lower is better; write limit: 0.5",
        ),
        ("models: [{id: zoo:a, base: zoo:b}]\nclaims: {drift/output: }", "drift/output is held below a limit of yours"),
        (
            TOY + "models: [{id: zoo:a, claims: {toy/claim: {limit: .5}}}]\nclaims: {toy/claim: {floor: .5}}",
            "toy/claim has a floor, too",
        ),
        ("models: [zoo:a]\nsuites: [controls]\nclaims: {controls/permuted_weights: {floor: .5}}", "takes no floor"),
        ("models: [zoo:a]\nsuites: [anatomy]\nclaims: {anatomy/chain: {floor: .5}}", "takes no floor; remove it"),
        (TOY + "models: [zoo:a]\nclaims: {toy/claim: {site: embed}}", "toy/claim takes no site; these do: coders/"),
        (
            TOY + "models: [zoo:a]\nclaims: {toy/claim: {advisory: true}, toy/other: {advisory: true}}",
            "nothing can stop",
        ),
        (TOY + "models: [zoo:b]\n" + WAIVER % "2026-04-01", "waivers[0].model: no model 'zoo:alpha' in this gate"),
        ("models: [zoo:alpha]\nclaims: {toy/other: }\n" + WAIVER % "2026-04-01", "zoo:alpha has no claim 'toy/claim'"),
        (
            TOY + "models: [zoo:alpha]\n" + WAIVER % "2026-02-28",
            ":3:69: waivers[0].expires: this waiver expired on "
            "2026-02-28 (o answers for it); remove it, now that the claim must hold, or agree on a new date",
        ),
        (
            TOY + "models: [zoo:alpha]\n" + WAIVER % "2027-03-03",
            "a waiver lasts a year at most, and today is 2026-03-01",
        ),
        (
            TOY + "models: [zoo:alpha]\nclaims: {toy/claim: {advisory: true}}\n" + WAIVER % "2026-04-01",
            "toy/claim is advisory and stops nothing; remove the waiver",
        ),
        (TOY + "models: [zoo:alpha]\n" + TWICE, "waivers[1]: a second waiver of toy/claim for zoo:alpha"),
    ],
)
def test_what_cannot_be_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(GateProblem) as raised:
        gate_of(text, tmp_path)
    assert str(raised.value).startswith("release.interp.yaml:")
    assert said in str(raised.value)


def test_a_directory_of_the_current_folder_is_not_taken_for_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org" / "m").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GateProblem, match=r"org/m is a directory of the current folder; write \./org/m"):
        gate_of(TOY + "models: [org/m]", tmp_path)


class TestWaivers:
    def test_one_holds_on_its_last_day_and_is_part_of_the_claim(self, tmp_path: Path) -> None:
        claims = claims_of(TOY + "models: [zoo:alpha]\n" + WAIVER % TODAY, tmp_path)
        assert claims["zoo:alpha", "toy/claim"]["waiver"] == {"reason": "r", "owner": "o", "expires": "2026-03-01"}
        assert claims["zoo:alpha", "toy/other"]["waiver"] is None

    def test_a_clock_that_is_wrong_makes_none_last_longer(self, tmp_path: Path) -> None:
        """One that was agreed on is refused both where the clock has run ahead and where it stands at its origin."""
        text = TOY + "models: [zoo:alpha]\n" + WAIVER % (TODAY + timedelta(days=30))
        for wrong in (date(1970, 1, 1), date(2038, 1, 19)):
            with pytest.raises(GateProblem, match="expires: "):
                gate_of(text, tmp_path, today=wrong)


class TestLevels:
    def test_the_closest_word_counts(self, tmp_path: Path) -> None:
        text = """
        levels: {pass: .005}
        budget: quick
        claims: {toy/claim: {levels: {pass: .001, fail: 1e-4}, budget: thorough}}
        suites: [toy]
        models: [zoo:alpha]
        """
        claims = claims_of(text, tmp_path)
        assert claims["zoo:alpha", "toy/claim"]["levels"] == {"pass": 0.001, "fail": 1e-4}
        assert claims["zoo:alpha", "toy/claim"]["budget"] == "thorough"
        assert claims["zoo:alpha", "toy/other"]["levels"] == {"pass": 0.005, "fail": 0.001}
        assert claims["zoo:alpha", "toy/other"]["budget"] == "quick"

    def test_the_gate_is_called_what_it_or_its_file_says(self, tmp_path: Path) -> None:
        text = TOY + "models: [zoo:alpha]"
        assert gate_of(text, tmp_path).name == "release"
        assert gate_of(text, tmp_path, name="interp.yaml").name == "interp"
        assert gate_of(text, tmp_path, name="ü [x]::y.interp.yml").name == "ü--x---y"
        assert gate_of("name: other\n" + text, tmp_path).name == "other"
