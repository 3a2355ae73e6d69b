"""The published schema says what the reader accepts: an editor and a run agree on every file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp_assert.gates import GateProblem, read_gate
from interp_assert.gates.json_schema import made_schema, published_schema
from interp_assert.gates.schema import ClaimEntry, GateFile, ModelEntry, WaiverEntry
from interp_assert.gates.strict_yaml import read_strictly
from interp_suites import SHIPPED

GOOD = """
version: 1
name: release-1.0
description: before every release
models:
  - zoo:alpha
  - {id: org/m, revision: main, base: org/base, suites: [drift], claims: {drift/output: {limit: 0.1}}}
  - {id: ./dir, name: mine, revision: [a, b], sha256: "%s", coder: ./sae}
suites: [circuits, my-own]
claims:
  circuits/induction:
  probes/truth: {floor: 0.8, site: blocks.3.resid_post, budget: quick, levels: {pass: 1e-3}, advisory: true, why: so}
budget: thorough
levels: {pass: 0.02, fail: 1e-4}
false-alarms: 0.001
seed: 7
waivers:
  - {model: mine, claim: circuits/induction, reason: r, owner: o, expires: 2026-12-31}
""" % ("0" * 64)

BAD = [
    "models: []",
    "models: [1]",
    "models: [{name: x}]",
    "models: [{id: a, name: 'a b'}]",
    "models: [{id: a, sha256: x}]",
    "models: [{id: a, revision: 1}]",
    "models: [a]\nmodles: [b]",
    "models: [a]\nsuites: x",
    "models: [a]\nclaims: [x]",
    "models: [a]\nclaims: {a/b: {floor: on}}",
    "models: [a]\nclaims: {a/b: {floor: }}",
    "models: [a]\nclaims: {a/b: {why: ''}}",
    "models: [a]\nbudget: huge",
    "models: [a]\nlevels: {pass: 0.7}",
    "models: [a]\nfalse-alarms: 0",
    "models: [a]\nseed: -1",
    "models: [a]\nversion: 2",
    "models: [a]\nversion: true",
    "models: [{id: a, revision: []}]",
    "models: [a]\nwaivers: [{model: a}]",
    "- a",
]


def accepted_by_the_schema(text: str) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    return bool(
        jsonschema.Draft202012Validator(json.loads(published_schema())).is_valid(read_strictly(text.encode()).value)
    )


def accepted_by_the_reader(text: str, folder: Path) -> bool:
    path = folder / "a.interp.yaml"
    path.write_text(text)
    try:
        read_gate(path)
    except GateProblem:
        return False
    return True


def test_what_is_published_is_what_the_entries_make() -> None:
    assert json.loads(published_schema()) == made_schema(SHIPPED)


def test_every_key_is_told_with_a_sentence() -> None:
    schema = json.loads(published_schema())
    for entry, where in (
        (GateFile, schema),
        *((e, schema["$defs"][e.__name__]) for e in (ModelEntry, ClaimEntry, WaiverEntry)),
    ):
        keys = {field.alias or name for name, field in entry.model_fields.items()}
        assert set(where["properties"]) == keys
        assert where["additionalProperties"] is False
        assert all("description" in told or "$ref" in told for told in where["properties"].values())


def test_it_offers_every_suite_and_check_that_a_gate_can_hold() -> None:
    offered = json.loads(published_schema())["$defs"]
    assert offered["Suite"]["anyOf"][0]["enum"] == [suite.name for suite in SHIPPED if suite.checks]
    assert offered["Check"]["anyOf"][0]["enum"] == [check for suite in SHIPPED for check in suite.checks]


@pytest.mark.parametrize("text", [GOOD, *BAD])
def test_editor_and_run_agree(text: str, tmp_path: Path) -> None:
    assert accepted_by_the_reader(text, tmp_path) is (text is GOOD)
    assert accepted_by_the_schema(text) is (text is GOOD)
