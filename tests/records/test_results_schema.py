"""The published schema of results files says what this package reads: other programs can trust it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.gates import decide_all
from interp_assert.records import Results
from interp_assert.records.json_schema import made_schema, published_schema
from interp_assert.reports.annotations import gate_annotations
from interp_assert.reports.gates import gate_story
from interp_assert.reports.markdown import results_markdown

from .documents import WHOLE
from .schema import departures

VALUES = [..., None, "word", True, -1, 1.5, [], [0.0, 1.0], [None], ["x"], {}]


def accepted_by_the_schema(document: Any) -> bool:
    return not departures(document)


def accepted_by_the_reader(document: Any) -> bool:
    try:
        Results.from_dict(copy.deepcopy(document))
    except UsageProblem:
        return False
    return True


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in a document: every key of every object and every entry of every list."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def changed(path: tuple[str | int, ...], value: Any) -> Any:
    """The whole document with another value at one place; ``...`` takes away what stood there."""
    document: Any = copy.deepcopy(WHOLE)
    entry = document
    for key in path[:-1]:
        entry = entry[key]
    if value is ...:
        del entry[path[-1]]
    else:
        entry[path[-1]] = value
    return document


def test_the_shipped_schema_is_the_one_that_the_code_makes() -> None:
    assert json.loads(published_schema()) == made_schema(), (
        "write it anew: python -m interp_assert.records.json_schema > interp_assert/records/results.schema.json"
    )


def test_it_is_a_schema_and_names_its_version() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(published_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "urn:interp-assert:results:1"
    assert schema["properties"]["schema"] == {"const": 1}


def test_a_document_with_every_part_is_accepted() -> None:
    assert accepted_by_the_reader(WHOLE)
    assert accepted_by_the_schema(WHOLE)
    assert set(WHOLE) == set(json.loads(published_schema())["properties"])


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_reader_and_schema_agree_whatever_is_wrong_and_wherever(value: Any) -> None:
    disagree = [
        path
        for path in places(WHOLE)
        if accepted_by_the_reader(document := changed(path, value)) != accepted_by_the_schema(document)
    ]
    assert disagree == []


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_the_schema_accepts_can_be_reported(value: Any) -> None:
    for path in places(WHOLE):
        document = changed(path, value)
        if not accepted_by_the_reader(document):
            continue
        worse = copy.deepcopy(document)  # the check passes, and its baseline decides
        for check in worse["checks"][:1]:
            check["verdict"] = "PASS"
        for results in (Results.from_dict(document), Results.from_dict(worse)):
            assert results_markdown(results)
            for verdict in decide_all(results):
                assert gate_story(verdict)
            assert len(gate_annotations(decide_all(results))) <= 1


def test_keys_of_later_versions_are_left_alone() -> None:
    document = copy.deepcopy(WHOLE)
    for entry in (document, document["run"], document["checks"][0], document["gates"][0]):
        entry["since a later version"] = {"anything": [None]}
    assert accepted_by_the_reader(document)
    assert accepted_by_the_schema(document)
