"""Rows of text: of one length, apart for training and judging, the same whoever asks."""

from __future__ import annotations

import pytest
import torch
from measures.small import gpt2

from interp_assert.errors import TokenOutOfRange, UsageProblem
from interp_assert.prompts import CannotSample, CorpusRows, SampledRows, rows_of, special_ids

from .words import metaspace_tokenizer


def corpus(count: int = 40, length: int = 20, seed: int = 0) -> list[list[int]]:
    return torch.randint(1, 80, (count, length), generator=torch.Generator().manual_seed(seed)).tolist()


class TestSampled:
    def test_rows_have_one_length_and_begin_as_the_model_does(self) -> None:
        documents = SampledRows(gpt2(), 24, seed=1)
        training, judged = documents.training(2000), documents.evaluation(0, 10)
        assert len(training) == 84
        assert {len(row) for row in training} == {len(row) for _, row in judged} == {24}
        assert {row[0] for row in training} == {0}
        assert len({name for name, _ in judged}) == 10
        assert documents.population is None

    def test_a_row_does_not_depend_on_how_many_are_asked_for(self) -> None:
        one, other = SampledRows(gpt2(), 16), SampledRows(gpt2(), 16)
        assert one.evaluation(0, 70) == other.evaluation(0, 5) + other.evaluation(5, 65)
        assert one.training(100) == one.training(2000)[:7]

    def test_those_to_judge_on_are_others(self) -> None:
        documents = SampledRows(gpt2(), 8)
        assert not {row for _, row in documents.evaluation(0, 64)} & set(documents.training(512))

    def test_another_seed_gives_others(self) -> None:
        assert SampledRows(gpt2(), 16, 0).training(64) != SampledRows(gpt2(), 16, 1).training(64)

    def test_length_is_at_most_the_context(self) -> None:
        assert SampledRows(gpt2(), 1000).length == 64

    def test_a_model_that_ends_at_once_has_none(self) -> None:
        model = gpt2()
        with torch.no_grad():
            model.module.transformer.ln_f.bias.fill_(1.0)
            model.module.lm_head.weight.zero_()
            model.module.lm_head.weight[0] = 100.0
        with pytest.raises(CannotSample, match="ends every document that it begins"):
            SampledRows(model, 8).training(8)

    def test_a_model_that_repeats_itself_has_none_to_judge_on(self) -> None:
        model = gpt2()
        with torch.no_grad():
            model.module.transformer.ln_f.bias.fill_(1.0)
            model.module.lm_head.weight.zero_()
            model.module.lm_head.weight[7] = 100.0
        documents = SampledRows(model, 8)
        documents.training(8)
        with pytest.raises(CannotSample, match="the same text again and again"):
            documents.evaluation(0, 1)


class TestCorpus:
    def test_content_decides_what_a_document_is_for(self) -> None:
        rows = corpus()
        one, other = CorpusRows(gpt2(), rows, 16), CorpusRows(gpt2(), rows[::-1], 16)
        assert one.evaluation(0, 99) == other.evaluation(0, 99)
        assert one.training(10**6) == other.training(10**6)
        assert 8 <= one.population <= 32
        judged = {row for _, row in one.evaluation(0, 99)}
        assert {len(row) for row in judged} == {16}
        pieces = {tuple(row[1:]) for row in one.training(10**6)}
        for row in judged:
            assert row[0] == 0  # BOS is put in front
            assert not any(row[1 : 1 + len(piece)] == piece for piece in pieces if len(piece) > 3)

    def test_long_documents_are_trained_on_in_pieces_with_a_bos_each(self) -> None:
        documents = CorpusRows(gpt2(), corpus(20, 40), 16)
        rows = documents.training(10**6)
        assert {len(row) for row in rows} == {16, 11}  # BOS + 15, 15, 10 of 40
        assert {row[0] for row in rows} == {0}

    def test_repeated_and_short_ones_are_told(self) -> None:
        rows = corpus()
        documents = CorpusRows(gpt2(), [*rows, *rows[:5], [3, 4]], 16)
        assert "46 documents given, 1 shorter than 16 ids, 5 repeated" in documents.note

    def test_texts_go_through_the_tokenizer(self) -> None:
        words = [f"w{i}" for i in range(30)]
        model = gpt2(tokenizer=metaspace_tokenizer([f"▁{word}" for word in words]))
        texts = [" ".join(words[(i * j + j) % 30] for j in range(1, 12)) for i in range(30)]
        documents = CorpusRows(model, texts, 6)
        assert documents.population + len(documents.training(10**6)) > 20

    @pytest.mark.parametrize(
        ("rows", "error", "match"),
        [
            ([], UsageProblem, "holds at least one"),
            ("a text", UsageProblem, "a list of texts"),
            (["a text"], UsageProblem, "has no tokenizer"),
            ([[1, 2, 300]], TokenOutOfRange, "document 0 holds id 300; .* has ids 0 to 79"),
            ([[1, 2], [1.5, 2]], UsageProblem, "document 1 is neither a text nor a row of token ids"),
            ([None], UsageProblem, "document 0 is neither a text nor a row of token ids"),
            ([[1, 2, 3]], UsageProblem, "of 1 documents 0 have at least 16 ids"),
            (corpus(1), UsageProblem, "too few to train on some and to judge on others"),
        ],
    )
    def test_what_cannot_be_used(self, rows: object, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            CorpusRows(gpt2(), rows, 16)  # type: ignore[arg-type]


def test_what_a_caller_may_give() -> None:
    model = gpt2()
    assert isinstance(rows_of(model, None, length=8, seed=0), SampledRows)
    given = rows_of(model, corpus(), length=8, seed=0)
    assert isinstance(given, CorpusRows)
    assert rows_of(model, given, length=9, seed=1) is given


def test_special_ids_come_from_the_tokenizer_or_the_config() -> None:
    assert special_ids(gpt2()) == {0}
    assert special_ids(gpt2(tokenizer=metaspace_tokenizer(["▁a"]))) == {0, 1, 2}
