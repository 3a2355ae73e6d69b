"""YAML is read as its core schema has it, and whatever could surprise or harm is refused with its place."""

from __future__ import annotations

import math
import time

import pytest

from interp_assert.gates.strict_yaml import LARGEST, NotStrict, Place, read_strictly


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-1.", -1.0),
        ("7", 7),
        ("+7", 7),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2026-12-31", "2026-12-31"),
        ("12:30", "12:30"),
        ("0x10", "0x10"),
        ("0o7", "0o7"),
        ("1_000", "1_000"),
        ("'1'", "1"),
        ('"true"', "true"),
        (".inf", math.inf),
        ("[a, 1, [b]]", ["a", 1, ["b"]]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("ü ☃", "ü ☃"),
    ],
)
def test_a_value_is_what_the_core_schema_makes_of_it(written: str, value: object) -> None:
    read = read_strictly(f"key: {written}".encode()).value["key"]
    assert read == value
    assert type(read) is type(value)


def test_every_key_and_entry_has_its_place() -> None:
    document = read_strictly(b"\xef\xbb\xbfa: 1\nb:\n  - x\n  - {c: 2}\n")
    assert document.value == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.places[("b", 1, "c")] == Place(4, 6)
    assert document.place_of(("b", 1, "missing", 3)) == Place(4, 5)
    assert document.place_of(("nowhere",)) == Place(1, 1)


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (b"a: 1\nb: 2\na: 3", (3, 1), "the key 'a' stands here again; it is in line 1"),
        (b"a: !!python/object/apply:os.system [echo]", (1, 4), "!!python/object/apply:os.system is a tag"),
        (b"a: !!str 5", (1, 4), "!!str is a tag"),
        (b"a: !include x", (1, 4), "!include is a tag"),
        (b"? !x a\n: 1", (1, 3), "!x is a tag"),
        (b"a: &x 1", (1, 4), "&x is an anchor"),
        (b"a: *x", (1, 4), "*x is an alias"),
        (b"<<: {a: 1}", (1, 1), "<< merges mappings"),
        (b"? [a]\n: 1", (1, 3), "a list or mapping cannot be a key"),
        (b"1: a", (1, 1), "a key is a text"),
        (b"null: a", (1, 1), "a key is a text"),
        (b"---\na: 1\n---\nb: 2", (3, 1), "a second document"),
        (b"a: \xff", (1, 4), "0xff is not UTF-8"),
        (b"a: 1\nb: \x00", (2, 1), "U+0000 may not stand in YAML"),
        (b'a: "\\ud800"', (1, 4), "surrogate"),
        (b"a:\n\t- b", (2, 1), "YAML has no tabs"),
        (b"suites: [l\tens]", (1, 11), "YAML has no tabs"),
        (b"a:\n  - b\n c: d", (3, 2), "look at the indentation of this line"),
        (b"a: b: c", (1, 5), "mapping values are not allowed here"),
        (b"a: 'x", (1, 6), "unexpected end of stream"),
        (b"a: " + b"9" * 400, (1, 4), "a number of 400 characters"),
        (b"[" * 5000, (1, 17), "more than 16 levels"),
        (b"%YAML 9.9\n---\na: 1", (1, 1), "incompatible YAML document"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_what_could_surprise_is_refused_with_its_place(text: bytes, place: tuple[int, int], problem: str) -> None:
    with pytest.raises(NotStrict) as refused:
        read_strictly(text)
    assert refused.value.place == Place(*place)
    assert problem in str(refused.value)


BOMBS = {
    "a billion laughs": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "many values": b"a: [" + b"1," * 100_000 + b"]",
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(21_000)),
    "deep lists": b"- " * 120_000,
    "deep mappings": b"{a: " * 60_000,
    "keys of keys": b"? " * 120_000,
    "an endless quote": b"a: '" + b"x\n\n" * 60_000,
    "an endless tag": b"!" * 250_000,
    "directives": b"%a" * 120_000,
    "too large": b"#" * (LARGEST + 1),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_quickly_and_in_a_short_line(bomb: bytes) -> None:
    started = time.process_time()
    with pytest.raises(NotStrict):
        read_strictly(bomb)
    assert time.process_time() - started < 3.0


def test_a_file_without_anything_is_nothing() -> None:
    for text in (b"", b"\n\n", b"# only a comment\n", b"---\n"):
        assert read_strictly(text).value is None
