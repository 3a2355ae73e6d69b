"""Profiles in the terminal and as Markdown, from the results document alone."""

from __future__ import annotations

from typing import Any

from interp_assert.records import Results
from interp_assert.reports import blanks, figures_markdown, figures_table, figures_text, legend

RUN = {"versions": {"torch": "2.13", "xla": None}, "platform": "", "seed": 0, "started": "2026-01-01", "seconds": 1.0}


def figure(measure: str, value: float | None = 0.981, **more: Any) -> dict[str, Any]:
    entry = {
        "measure": measure,
        "quantity": measure.partition("/")[2],
        "value": value,
        "interval": None if value is None else [0.95, 1.0],
        "n": 64,
        "unit": "share",
        "note": "",
        "approximate": False,
        "whole": False,
        "missing": "" if value is not None else "it has no\ntokenizer",
        "broken": False,
        "about": f"what {measure} is" if measure != "y/three" else "",
        "details": {},
    }
    return {**entry, **more}


def profile(model: str, *figures: dict[str, Any]) -> dict[str, Any]:
    cost = {"forward_passes": 1500, "tokens": 3, "seconds": 0.5}
    return {
        "model": model,
        "clusters": 128,
        "seed": 7,
        "level": 0.95,
        "base": None,
        "figures": list(figures),
        "costs": {"a": cost, "b": cost},
    }


RESULTS = Results(
    RUN,
    (),
    (),
    (
        profile("zoo:a", figure("x/one", note="20x chance"), figure("x/two", 3.0, interval=[2.5, 3.5], whole=True)),
        profile(
            "./b|c",
            figure("x/one", None),
            figure("x/two", None),
            figure("y/three", 0.00002, interval=[None, 2000.0], approximate=True),
        ),
        profile("zoo:d", figure("x/one", None, broken=True, missing="not finite: nan"), figure("x/two", None)),
    ),
)


def test_one_row_per_model_and_one_column_per_figure() -> None:
    lines = figures_table(RESULTS).splitlines()
    header = lines[0].split()
    assert header == ["model", "architecture", "parameters", "one", "two", "three", "passes", "seconds"]
    text = "\n".join(" ".join(line.split()) for line in lines[2:])
    assert "zoo:a - - 0.981 3.000 - 3,000 1.0\n[0.950, 1.000] all 64\n20x chance" in text
    assert "./b|c - - n/a n/a 2e-05 3,000 1.0\n~[?, 2e+03]" in text
    assert "zoo:d - - broken n/a - 3,000 1.0" in text


def test_what_does_not_fit_stands_in_a_further_table() -> None:
    whole, narrow = figures_table(RESULTS).splitlines(), figures_table(RESULTS, 40).split("\n\n")
    assert max(len(line) for table in narrow for line in table.splitlines()) <= 40
    heads = [table.splitlines()[0].split() for table in narrow]
    assert len(heads) > 1
    assert {head[0] for head in heads} == {"model"}
    assert ["model", *(name for head in heads for name in head[1:])] == whole[0].split()
    for table in narrow:
        assert [line.split()[0] for line in table.splitlines() if line[0] not in " -m"] == ["zoo:a", "./b|c", "zoo:d"]
    assert figures_table(RESULTS, 1000).splitlines() == whole
    assert len(figures_table(RESULTS, 1).split("\n\n")) == len(whole[0].split()) - 1, "a column at least in each"


def test_no_line_of_the_text_is_wider_than_the_terminal() -> None:
    lines = figures_text(RESULTS, 60)
    assert max(map(len, lines)) <= 60
    assert lines.count("") >= 3, "between tables, legend and reasons"
    for said in (*legend(RESULTS), *blanks(RESULTS)):
        assert " ".join(said.split()) in " ".join(" ".join(lines).split())
    assert "\n".join(figures_text(RESULTS)).split("\n\n")[0] == figures_table(RESULTS)


def test_a_reason_that_holds_for_several_models_stands_once() -> None:
    other = profile("zoo:e", figure("x/one", None), figure("x/two", None))
    told = blanks(Results(RUN, (), (), (*RESULTS.profiles, other)))
    assert told[0] == "n/a one, two on ./b|c, zoo:e: it has no tokenizer"
    assert len(told) == 3


def test_blanks_say_why_each_reason_once() -> None:
    assert blanks(RESULTS) == [
        "n/a one, two on ./b|c: it has no tokenizer",
        "broken one on zoo:d: not finite: nan",
        "n/a two on zoo:d: it has no tokenizer",
    ]


def test_the_legend_says_what_each_column_is() -> None:
    lines = legend(RESULTS)
    assert lines[:2] == ["one: what x/one is", "two: what x/two is"]
    assert len(lines) == 3
    assert lines[2].startswith("at most 128 clusters for each figure, seed 7; [low, high] holds with probability 0.95")
    based = Results(RUN, (), (), ({**RESULTS.profiles[0], "base": "zoo:z"},))
    assert "the base is zoo:z" in legend(based)


def test_markdown_is_one_table_that_no_name_can_break() -> None:
    text = figures_markdown(RESULTS)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}
    assert rows[2] == "| zoo:a | - | - | 0.981 [0.950, 1.000] 20x chance | 3.000 all 64 | - | 3,000 | 1.0 |"
    assert rows[3].startswith("| ./b\\|c |")
    assert "- n/a one, two on ./b\\|c: it has no tokenizer" in text
    assert "- one: what x/one is" in text
    assert "at most 128 clusters for each figure, seed 7" in text
    assert "Measured 2026-01-01 with torch 2.13." in text


def test_without_profiles_there_is_nothing() -> None:
    assert figures_table(Results(RUN, (), ())) == figures_markdown(Results(RUN, (), ())) == ""
    assert legend(Results(RUN, (), ())) == figures_text(Results(RUN, (), ())) == []
