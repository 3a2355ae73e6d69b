"""What is wrong with an entry of a gate file is one line: file, line, key, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_assert.gates import GateProblem, read_gate

MODELS = "models: [zoo:alpha]\n"


def problem_of(text: str, folder: Path) -> str:
    path = folder / "release.interp.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GateProblem) as raised:
        read_gate(path, path.name)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modles: [a]", "release.interp.yaml:1:1: unknown key 'modles'; did you mean 'models'? (and 1 more)"),
        (MODELS + "false_alarms: .1", ":2:1: unknown key 'false_alarms'; did you mean 'false-alarms'?"),
        (MODELS + "claims:\n  toy/claim: {flor: .1}", ":3:15: claims.toy/claim: unknown key 'flor'; did you mean"),
        ("models: [{id: a, levels: {}}]", "models[0]: unknown key 'levels'; there are id, name, revision, sha256"),
        (MODELS + "levels: {pas: .1}", "levels: unknown key 'pas'; did you mean 'pass'?"),
        (MODELS + "waivers: [{mode: a}]", "waivers[0]: unknown key 'mode'; did you mean 'model'?"),
        (MODELS + "suites: circuits", ":2:1: suites: a list is wanted, not the text 'circuits'; write [circuits]"),
        (
            "models:\n  - id: a\n    revision: 512",
            ":3:5: models[0].revision: a text or a list of texts is wanted, not the number 512; put it in quotes",
        ),
        ("models:\n  - id: 7", ":2:5: models[0].id: a text is wanted, not the number 7; put it in quotes"),
        ("models: [7]", "models[0]: the id of a model, or a mapping with an id:, is wanted, not the number 7"),
        ("models: [{name: a}]", "models[0]: id is missing; each model has one: zoo:NAME, a directory such as ./tuned"),
        ("suites: [a]", "release.interp.yaml:1:1: models is missing; name at least one model"),
        ("models: []", "models: it is empty; write at least one"),
        ("models: [{id: a, revision: []}]", "models[0].revision: it is empty; write at least one"),
        ("models:", "models: a list is wanted, not nothing"),
        ("models: {a: b}", "models: a list is wanted, not a mapping; write a - before each entry"),
        (MODELS + "claims: {toy/claim: .5}", "toy/claim: a mapping is wanted, not the number 0.5; write {floor: 0.5}"),
        (
            MODELS + "claims: {toy/claim: on}",
            "toy/claim: a mapping is wanted, not the text 'on'; write {floor: 0.5}, or",
        ),
        (MODELS + "seed: '7'", "seed: a whole number is wanted, not the text '7'; write it without quotes"),
        (MODELS + "claims: {toy/claim: {floor: on}}", "claims.toy/claim.floor: a number is wanted, not the text 'on'"),
        (MODELS + "claims: {toy/claim: {floor: true}}", "floor: a number is wanted, not true"),
        (
            MODELS + "claims: {toy/claim: {floor: }}",
            "floor: nothing stands behind it; write a value, or remove the key",
        ),
        (MODELS + "claims: {toy/claim: {floor: .nan}}", "claims.toy/claim.floor: a finite number is wanted"),
        (MODELS + "claims: {toy/claim: {floor: .inf}}", "claims.toy/claim.floor: a finite number is wanted"),
        (MODELS + "claims: {toy/claim: {advisory: yes}}", "advisory: true or false is wanted, not the text 'yes'"),
        (MODELS + "claims: [toy/claim]", "claims: a mapping (key: value) is wanted, not a list"),
        (MODELS + "budget: huge", "budget: the text 'huge' is none of quick, standard, thorough"),
        (MODELS + "version: 2", "version: the number 2 is no version of this format that is known here; it is 1"),
        (MODELS + "version: true", "version: true is no version of this format"),
        (MODELS + "seed: -1", "seed: a number of at least 0 is wanted, not -1"),
        (MODELS + "seed: 1.5", "seed: a whole number is wanted, not the number 1.5"),
        (MODELS + "false-alarms: 0.5", "false-alarms: a number below 0.5 is wanted, not 0.5"),
        (MODELS + "levels: {pass: 0}", "levels.pass: a number above 0 is wanted, not 0"),
        (MODELS + "name: a::b", "name: the text 'a::b' cannot be used; letters, digits and"),
        ("models: [{id: a, sha256: ABC}]", "models[0].sha256: the text 'ABC' cannot be used; a sha256 has 64 digits"),
        (
            MODELS + "waivers:\n  - {model: a, claim: b, reason: c, owner: d}",
            ":3:5: waivers[0]: expires is missing; a waiver says",
        ),
        (MODELS + "waivers: [{model: a, claim: b, reason: ' ', owner: d, expires: 2026-12-31}]", "reason: it is blank"),
        (
            MODELS + "waivers: [{model: a, claim: b, reason: c, owner: d, expires: 31.12.2026}]",
            "expires: '31.12.2026' is no date; write YYYY-MM-DD",
        ),
        (MODELS + "waivers: [{model: a, claim: b, reason: c, owner: d, expires: 2026-02-30}]", "is no date"),
        (
            MODELS + "waivers: [{model: a, claim: b, reason: c, owner: d, expires: 20261231}]",
            "20261231 is no date; write",
        ),
        ("- a", "release.interp.yaml:1:1: a mapping (key: value) is wanted, not a list"),
        ("release", "release.interp.yaml:1:1: a mapping (key: value) is wanted, not the text 'release'"),
        ("", "release.interp.yaml: the file is empty; `interp-assert gate init MODEL` writes a first gate"),
        (MODELS + '"\\e[31m::error file=x": 1', "unknown key '\\x1b[31m::error file=x'"),
        (MODELS + f"{'k' * 500}: 1", f"unknown key '{'k' * 57}...'"),
    ],
)
def test_one_line_says_where_and_what(text: str, said: str, tmp_path: Path) -> None:
    assert said in problem_of(text, tmp_path)


def test_a_model_that_is_only_named_and_a_claim_without_settings_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "interp.yaml"
    path.write_text("models:\n  - zoo:alpha\n  - {id: org/m, revision: main}\nclaims:\n  toy/claim:\n")
    entries = read_gate(path).entries
    assert [(model.id, model.revision) for model in entries.models] == [("zoo:alpha", None), ("org/m", ["main"])]
    assert entries.claims["toy/claim"].model_fields_set == set()
    assert (entries.budget, entries.false_alarms, entries.levels.pass_, entries.levels.fail) == (
        "standard",
        0.01,
        0.01,
        0.001,
    )


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "missing.interp.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(GateProblem, match=f"{path.name}: cannot be read: {reason}"):
            read_gate(path, path.name)
