"""Documents for two models: sampled ones that replay, given ones that are checked, and tokens that must agree."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from measures.small import gpt2, mamba

from interp_assert.errors import ContextTooShort, TokenOutOfRange, UsageProblem
from interp_assert.prompts import CannotSample, GivenDocuments, SampledDocuments, why_not_the_same_tokens

from .words import metaspace_tokenizer, stand_in

WORDS = ["The", "▁capital", "▁of", "▁France", "▁is", "▁Paris"]


def model(words: list[str] = WORDS, *, max_positions: int | None = None, size: int = 9) -> SimpleNamespace:
    made = stand_in(metaspace_tokenizer(words), size)
    made.max_positions = max_positions
    return made


class TestSampled:
    def test_a_document_is_the_same_whatever_was_asked_for_before(self) -> None:
        one, other = SampledDocuments(gpt2(), 12, seed=3), SampledDocuments(gpt2(), 12, seed=3)
        first = one.take(0, 70)
        assert other.take(60, 10) == first[60:]
        assert len({d.id for d in first}) == 70
        assert SampledDocuments(gpt2(), 12, seed=4).take(0, 70) != first
        assert one.population is None

    def test_those_that_end_at_once_are_left_out(self) -> None:
        documents = SampledDocuments(gpt2(initializer_range=0.01), 8).take(0, 640)
        assert min(len(d.ids) for d in documents) >= 2
        numbers = [int(d.id.rpartition("/")[2]) for d in documents]
        assert numbers == sorted(numbers)
        assert numbers[-1] > 639

    def test_a_model_that_cannot_write_is_told_what_to_do(self) -> None:
        with torch.no_grad():
            silent = gpt2()
            silent.module.transformer.ln_f.weight.zero_()
            silent.module.transformer.ln_f.bias.copy_(100 * silent.module.transformer.wte.weight[0])
        with pytest.raises(CannotSample, match=r"ends every document that it begins; give texts="):
            SampledDocuments(silent).take(0, 1)


class TestGiven:
    def test_texts_get_bos_and_a_seeded_order(self) -> None:
        texts = ["The capital of France", "The capital", "The capital of France is Paris"]
        given = GivenDocuments(model(), texts, seed=1)
        taken = {d.id: d.ids for d in given.take(0, 3)}
        assert taken == {"text 0": (1, 3, 4, 5, 6), "text 1": (1, 3, 4), "text 2": (1, 3, 4, 5, 6, 7, 8)}
        orders = {tuple(d.id for d in GivenDocuments(model(), texts, seed=s).take(0, 3)) for s in range(20)}
        assert len(orders) > 2
        assert given.population == 3

    def test_rows_of_ids_need_no_tokenizer(self) -> None:
        assert {d.ids for d in GivenDocuments(mamba(), [(5, 6, 7), [8, 9]]).take(0, 9)} == {(5, 6, 7), (8, 9)}

    @pytest.mark.parametrize(
        ("texts", "said"),
        [
            ("The capital", "texts is a single string; give a list"),
            ([], "no texts were given; leave texts out"),
            (["The capital", "  "], "text 1 of 2 is empty; leave it out"),
            (["The capital", "The", "The capital"], "text 2 is text 0 again"),
            (["The capital", "nonsense words"], "text 1 has no token that counts: .* unknown tokens"),
        ],
    )
    def test_bad_texts_are_named(self, texts: list[str], said: str) -> None:
        with pytest.raises(UsageProblem, match=said):
            GivenDocuments(model(), texts)

    def test_too_long_names_the_text_and_the_limit(self) -> None:
        for made, limit in ((model(max_positions=4), None), (model(), 4)):
            with pytest.raises(ContextTooShort, match="text 1 has 5 tokens and the context 4; cut it"):
                GivenDocuments(made, ["The capital", "The capital of France"], limit=limit)

    def test_an_id_outside_the_vocabulary(self) -> None:
        with pytest.raises(TokenOutOfRange, match="text 1 has token id 80; random-mamba has ids 0 to 79"):
            GivenDocuments(mamba(), [(5, 6), (5, 80)])

    def test_texts_without_a_tokenizer(self) -> None:
        with pytest.raises(UsageProblem, match="random-mamba has no tokenizer; give rows of token ids"):
            GivenDocuments(mamba(), ["The"])


class TestTheSameTokens:
    def test_further_tokens_at_the_end_do_not_matter(self) -> None:
        assert why_not_the_same_tokens(model(), model([*WORDS, "▁too"], size=12), ["The capital"]) is None

    def test_another_vocabulary_is_named_by_its_first_id(self) -> None:
        swapped = ["The", "▁of", "▁capital", *WORDS[3:]]
        assert why_not_the_same_tokens(model(), model(swapped)) == (
            "the tokenizers differ: id 4 is '▁capital' to stand-in and '▁of' to stand-in"
        )

    def test_texts_that_are_cut_differently(self) -> None:
        fewer = model(WORDS[:-1])
        assert "cut text 1 into different tokens" in (
            why_not_the_same_tokens(model(), fewer, ["The capital", "The capital is Paris"]) or ""
        )

    def test_without_tokenizers_the_size_decides(self) -> None:
        assert why_not_the_same_tokens(gpt2(), mamba()) is None
        assert "80 token ids" in (why_not_the_same_tokens(gpt2(), gpt2(vocab_size=90)) or "")
