"""Labelled texts are refused when a probe could not be judged on them, and put into tokens group by group."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measures.small import gpt2

from interp_assert.errors import ContextTooShort, UsageProblem
from interp_assert.prompts import LabelledTexts, put_into_tokens, read_labelled
from prompts.words import metaspace_tokenizer, stand_in


def texts(**changes: Any) -> LabelledTexts:
    fields: dict[str, Any] = {
        "name": "mine",
        "texts": ("a b", "a c", "d b", "d c"),
        "labels": (0, 1, 1, 0),
        "groups": ("g", "g", "h", "h"),
    }
    return LabelledTexts(**{**fields, **changes})


def test_what_is_right_is_kept_as_it_is() -> None:
    data = texts(labels=(False, True, True, False), groups=(1, 1, 2, 2), classes=["no", "yes"])
    assert data.labels == (0, 1, 1, 0)
    assert data.groups == ("1", "1", "2", "2")
    assert data.classes == ("no", "yes")
    assert (len(data), data.n_groups) == (4, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": (1, 1, 1, 1)}, r"all 4 texts have label 1 \(1\); a probe needs texts of both classes"),
        ({"labels": (0, 1, 2, 0)}, "label 2 is 2; a probe tells two classes apart"),
        ({"labels": (0, 0.5, 1, 0)}, "label 1 is 0.5"),
        ({"labels": ("0", "1", "1", "0")}, "label 0 is '0'"),
        ({"texts": ("a b", " ", "d b", "d c")}, "text 1 is ' '; remove blank rows"),
        ({"texts": ("a b", "a c", "a b", "d c")}, "texts 0 and 2 are the same with both labels: 'a b'"),
        ({"texts": ("a b", "a c", "d b", "a c")}, "texts 1 and 3 are the same with both labels"),
        ({"texts": ("a b", "a c", "d b")}, "3 texts, 4 labels and 4 groups"),
        ({"texts": (), "labels": (), "groups": ()}, "'mine' is empty"),
        ({"classes": ("a", "a")}, "must name two classes"),
        ({"groups": ("g", None, "h", "h")}, "group 1 is None; name the group of every text"),
        ({"groups": ("g", "g", "h", float("nan"))}, "group 3 is nan"),
        ({"groups": ("g", " ", "h", "h")}, "group 1 is ' '"),
        ({"groups": None}, "groups=None must be a sequence"),
        ({"texts": "abcd"}, "texts='abcd' must be a sequence"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        texts(**changes)


def test_a_limit_keeps_groups_whole_and_classes_in_proportion() -> None:
    words = [f"w{i}" for i in range(120)]
    data = LabelledTexts(
        "many", tuple(words), tuple(int(i >= 80) for i in range(120)), tuple(str(i // 2) for i in range(120))
    )
    some = data.some_groups(30, seed=1)
    assert some.n_groups == 30
    assert len(some) == 60
    assert sum(some.labels) == 20
    assert some == data.some_groups(30, seed=1)
    assert some != data.some_groups(30, seed=2)
    assert data.some_groups(60) is data


@pytest.mark.parametrize(("lower", "upper", "left"), [(9, 9, (3, 3)), (9, 2, (4, 2)), (1, 9, (1, 5)), (0, 9, (0, 6))])
def test_of_a_large_group_as_many_of_either_class_are_drawn(lower: int, upper: int, left: tuple[int, int]) -> None:
    marks = [0] * lower + [1] * upper + [0, 1]
    words = [f"w{i}" for i in range(len(marks))]
    data = LabelledTexts("large", words, marks, ["g"] * (lower + upper) + ["h", "h"])
    rows = put_into_tokens(data, open_model(metaspace_tokenizer(words)))
    some = rows.some_of_each_group(6, seed=1)
    held = [(group, int(label)) for group, label in zip(some.groups, some.labels, strict=True)]
    assert (held.count(("g", 0)), held.count(("g", 1))) == left
    assert held[-2:] == [("h", 0), ("h", 1)]
    assert [words[i] for i in some.kept] == list(some.texts)
    assert "at most 6 texts of a group" in some.note
    assert some.kept == rows.some_of_each_group(6, seed=1).kept
    assert rows.some_of_each_group(20) is rows


def test_texts_become_ids_with_bos_in_front() -> None:
    tokenizer = metaspace_tokenizer(["a", "d", "▁b", "▁c"])
    rows = put_into_tokens(texts(), open_model(tokenizer))
    assert rows.rows == ((1, 3, 5), (1, 3, 6), (1, 4, 5), (1, 4, 6))
    assert rows.labels.tolist() == [0, 1, 1, 0]
    assert rows.groups == ("g", "g", "h", "h")
    assert not rows.dropped
    assert "BOS 1; 4 of 4 texts, 2 of 2 groups" in rows.note


def test_a_group_with_an_unknown_word_is_left_out_whole_and_counted() -> None:
    tokenizer = metaspace_tokenizer(["a", "▁b", "▁c"], bos=False)
    rows = put_into_tokens(texts(), open_model(tokenizer))
    assert rows.texts == ("a b", "a c")
    assert rows.rows == ((3, 4), (3, 5))
    assert rows.dropped == {"h": "unknown token"}
    assert rows.note.endswith("1 of 2 groups are in its vocabulary; groups left out: 1 x unknown token")


def test_where_few_groups_are_known_the_simpler_wording_is_read() -> None:
    tokenizer = metaspace_tokenizer(["a", "▁b", "▁c", "d"])
    wordy = replace(texts(texts=("a x", "a y", "d x", "d y")), simpler=texts())
    rows = put_into_tokens(wordy, open_model(tokenizer))
    assert rows.texts == texts().texts
    assert rows.note.startswith("in the wording for small vocabularies (0 of 2 groups in everyday words are in its")
    half = replace(wordy, texts=("a b", "a c", "d x", "d y"))
    assert put_into_tokens(half, open_model(tokenizer)).texts == half.texts[:2]
    neither = replace(wordy, simpler=texts(texts=("a z", "d z", "b z", "c z")))
    assert put_into_tokens(neither, open_model(tokenizer)).note.count("0 of 2") == 1


def test_if_one_class_is_left_nothing_is() -> None:
    tokenizer = metaspace_tokenizer(["a", "▁b", "▁c"])
    rows = put_into_tokens(texts(labels=(0, 0, 1, 1)), open_model(tokenizer))
    assert rows.data is None
    assert rows.rows == ()
    assert rows.texts == ()


def test_a_token_beyond_the_embedding_counts_as_unknown() -> None:
    tokenizer = metaspace_tokenizer(["a", "▁b", "▁c", "d"])
    rows = put_into_tokens(texts(), open_model(tokenizer, vocab_size=6))
    assert rows.dropped == {"h": "token outside the model's vocabulary"}


def test_a_text_that_is_another_groups_in_other_letters_is_left_out_with_its_group() -> None:
    tokenizer = metaspace_tokenizer(["a", "d", "▁b", "▁c"], lowercase=True)
    cased = texts(texts=("a b", "a c", "A b", "d c"))
    rows = put_into_tokens(cased, open_model(tokenizer))
    assert rows.dropped == {"h": "tokens of a text in another group"}
    assert rows.texts == ("a b", "a c")
    assert not put_into_tokens(texts(texts=("a b", "A b", "d b", "d c")), open_model(tokenizer)).dropped


def test_a_text_that_is_too_long_is_named_with_the_limit() -> None:
    tokenizer = metaspace_tokenizer(["a", "d", "▁b", "▁c"])
    long = texts(texts=("a b", "a c", "d" + " b" * 70, "d c"))
    with pytest.raises(ContextTooShort, match=r"a text of 72 tokens does not fit its context of 64: 'd b b .*\.\.\.'"):
        put_into_tokens(long, gpt2(tokenizer=tokenizer))


def test_without_a_tokenizer_there_are_no_tokens() -> None:
    with pytest.raises(UsageProblem, match="no tokenizer"):
        put_into_tokens(texts(), gpt2())


def open_model(tokenizer: Any, vocab_size: int = 80) -> Any:
    model = stand_in(tokenizer, vocab_size)
    model.max_positions = None
    return model


ROWS = [
    {"text": "a b", "label": 0, "group": "g"},
    {"text": "a, c", "label": 1, "group": "g"},
    {"text": 'd "b"', "label": 1, "group": "h"},
]


def test_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "claims.csv"
    file.write_text('\ufeffgroup,text,label\ng,a b,false\ng,"a, c",true\nh,"d ""b""",True\n', encoding="utf-8")
    data = read_labelled(file)
    assert data.name == "claims"
    assert data.texts == ("a b", "a, c", 'd "b"')
    assert data.labels == (0, 1, 1)
    assert data.groups == ("g", "g", "h")
    assert data.classes == ("false", "true")


def test_a_jsonl_file_and_rows_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n", encoding="utf-8")
    assert read_labelled(str(file)) == read_labelled(ROWS)
    assert read_labelled(ROWS).labels == (0, 1, 1)


def test_other_columns_and_words_for_the_classes() -> None:
    rows = [{"sentence": "x", "y": "spam", "by": 1}, {"sentence": "z", "y": "ham", "by": 2}]
    data = read_labelled(rows, text="sentence", label="y", group="by", classes=("ham", "spam"), name="mail")
    assert data == LabelledTexts("mail", ("x", "z"), (1, 0), ("1", "2"), ("ham", "spam"))
    assert read_labelled(ROWS, group=None).groups == ("0", "1", "2")


def test_a_dataset_says_itself_what_its_classes_are() -> None:
    class Label:
        names = ["bad", "good"]  # noqa: RUF012

    class Dataset(list):  # type: ignore[type-arg]
        features = {"text": None, "label": Label()}  # noqa: RUF012

    assert read_labelled(Dataset(ROWS)).classes == ("bad", "good")


def test_a_real_dataset() -> None:
    datasets = pytest.importorskip("datasets")
    split = datasets.Dataset.from_list(ROWS)
    assert read_labelled(split) == read_labelled(ROWS)
    with pytest.raises(UsageProblem, match='such as data\\["train"\\]'):
        read_labelled(datasets.DatasetDict({"train": split}))


def test_the_same_numbers_mean_the_same_as_numbers_and_in_writing() -> None:
    """``classes`` puts them in order, or names 0 and 1, wherever the labels come from."""
    for one, zero in ((1, 0), ("1", "0"), (True, False), (np.bool_(True), np.bool_(False)), (1.0, 0.0)):
        rows = [{**ROWS[0], "label": one}, {**ROWS[1], "label": zero}]
        assert read_labelled(rows, classes=("bad", "good")).labels == (1, 0)
        if isinstance(one, (str, int)) and not isinstance(one, bool):
            turned = read_labelled(rows, classes=("1", "0"))
            assert (turned.labels, turned.classes) == ((0, 1), ("1", "0"))


def test_lines_of_a_csv_file_end_where_its_cells_do(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes('text,label,group\r\n"a\r\nb",1,g\r\n\r\nc\u2028d\x85e\x0bf,0,h\r\n'.encode())
    assert read_labelled(file).texts == ("a\nb", "c\u2028d\x85e\x0bf")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a, b,1,g\nc,0,h\n", "line 2 has 4 cells for 3 columns; put texts that hold commas into double quotes"),
        ('"a,1,g\nc,0,h\n', "is no CSV .unexpected end of data.; put texts into double quotes"),
        ('"a" b,1,g\nc,0,h\n', "is no CSV"),
        (f"{'a ' * 70_000},1,g\nc,0,h\n", "cut texts of more than 131,072 characters"),
        ("a,1,g\nc,,h\n", "row 1 has no value for 'label'; complete or remove it$"),
        ("a,1,\nc,0,h\n", "row 0 has no value for 'group'; complete or remove it .group=None"),
        ("a,1\nc,0\n", "row 0 has no value for 'group'"),
        (" ,1,g\nc,0,h\n", "row 0 has no value for 'text'"),
        ("a,spam,g\nc,spam,h\n", r"the labels take 1 value \('spam'\)"),
    ],
)
def test_a_csv_row_that_a_lenient_reader_would_cut_or_join_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label,group\n" + content, encoding="utf-8")
    refuse(said, lambda: read_labelled(file))


def test_other_tables_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for content, said in (
        ("text;label;group\na;1;g\n", "no column 'text', but text;label;group; separate its columns by commas"),
        ("text,text,label,group\na,b,1,g\n", "has two columns 'text'; rename one"),
        ("a,1,g\nb,0,h\n", "no column 'text', but a, 1, g; name the column with text="),
    ):
        file.write_text(content, encoding="utf-8")
        refuse(said, lambda: read_labelled(file))
    file.write_bytes("text,label,group\na,1,g\n".encode("utf-16"))
    refuse("not UTF-8", lambda: read_labelled(file))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": float("nan")}, "row 1 has no value for 'label'"),
        ({"group": float("nan")}, "row 1 has no value for 'group'"),
        ({"group": ""}, "row 1 has no value for 'group'"),
        ({"text": float("nan")}, "row 1 has no value for 'text'"),
        ({"text": 5}, "row 1: 'text' is '5', of type int; texts are strings"),
        ({"text": ["a", "b"]}, "of type list; texts are strings"),
        ({"label": 2}, "row 1: label '2' is neither 'bad' nor 'good'"),
        ({"label": -1}, "row 1: label '-1' is neither 'bad' nor 'good'; remove the row"),
    ],
)
def test_cells_that_hold_nothing_or_something_else_are_named(changes: dict[str, Any], said: str) -> None:
    rows = [ROWS[0], {**ROWS[1], **changes}, ROWS[2]]
    refuse(said, lambda: read_labelled(rows, classes=("bad", "good")))


def test_what_holds_no_rows_is_named() -> None:
    refuse("None holds no labelled texts; give a file, rows as mappings, or a dataset", lambda: read_labelled(None))  # type: ignore[arg-type]
    frame = pytest.importorskip("pandas").DataFrame(ROWS)
    refuse(r'of a data frame give frame.to_dict\("records"\)', lambda: read_labelled(frame))
    assert read_labelled(frame.to_dict("records")) == read_labelled(ROWS)
    frame.loc[1, "group"] = None
    refuse("row 1 has no value for 'group'", lambda: read_labelled(frame.convert_dtypes().to_dict("records")))


def refuse(said: str, read: Callable[[], Any]) -> None:
    with pytest.raises(UsageProblem, match=said):
        read()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    refuse("no file", lambda: read_labelled(tmp_path / "none.csv"))
    (tmp_path / "a.txt").write_text("x")
    refuse(r"files that end with .txt are not read", lambda: read_labelled(tmp_path / "a.txt"))
    (tmp_path / "a.csv").write_bytes(b"text\n\xff\xfe\n")
    refuse("not UTF-8", lambda: read_labelled(tmp_path / "a.csv"))
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": \n')
    refuse("line 2 is no JSON", lambda: read_labelled(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").write_text("[1]\n")
    refuse("line 1 holds a list", lambda: read_labelled(tmp_path / "a.jsonl"))
    (tmp_path / "b.csv").write_text("text,label,group\n")
    refuse("'b' is empty", lambda: read_labelled(tmp_path / "b.csv"))
    (tmp_path / "b.csv").write_text("text,label,group\nx,1\n")
    refuse("row 0 has no value for 'group'", lambda: read_labelled(tmp_path / "b.csv"))


def test_rows_that_cannot_be_used_are_named() -> None:
    refuse(
        "row 0 has no column 'body', but text, label, group; name the column", lambda: read_labelled(ROWS, text="body")
    )
    refuse("group=None makes every text a group of its own", lambda: read_labelled(ROWS, group="author"))
    refuse("row 1 is a str", lambda: read_labelled([ROWS[0], "x"]))  # type: ignore[list-item]
    refuse("the keys train, test is no list of rows", lambda: read_labelled({"train": ROWS, "test": ROWS}))  # type: ignore[arg-type]
    three = [{**ROWS[0], "text": str(i), "label": word} for i, word in enumerate("abc")]
    refuse(r"the labels take 3 values \('a', 'b', 'c'\)", lambda: read_labelled(three))
    refuse("which of 'a' and 'b' is the positive class", lambda: read_labelled(three[:2]))
    refuse("row 2: label 'c' is neither 'a' nor 'b'", lambda: read_labelled(three, classes=("a", "b")))
    refuse("3 classes", lambda: read_labelled(three, classes=("a", "b", "c")))
