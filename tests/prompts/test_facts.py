"""Facts are resolved in context, and what cannot be is dropped with its reason."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp_assert.errors import UsageProblem
from interp_assert.prompts.facts import Statement, fact_templates, resolve_facts, resolve_statements, statements

from .words import SPECIAL, metaspace_tokenizer, stand_in


def words_of(texts: list[Statement], *, leave_out: frozenset[str] = frozenset()) -> list[str]:
    tokens = {
        t for s in texts for t in (s.prompt.split(" ")[0], *("▁" + w for w in (s.prompt + " " + s.target).split(" ")))
    }
    return sorted(tokens - leave_out)


def test_the_shipped_data_is_sound() -> None:
    texts = statements()
    templates = fact_templates()
    assert set(templates) == {"capital", "language", "continent"}
    assert len({s.cluster for s in texts}) >= 52
    assert len(texts) == len({(s.cluster, s.prompt) for s in texts})
    for statement in texts:
        assert statement.prompt == statement.prompt.strip()
        assert "{" not in statement.prompt
        assert " " not in statement.target
        assert statement.target not in statement.prompt.split()


def test_the_target_is_the_token_with_its_space() -> None:
    texts = statements(["capital"])
    words = [*words_of(texts), "Paris"]
    tokenizer = metaspace_tokenizer(words)
    resolved = resolve_facts(stand_in(tokenizer, len(words) + 3), ["capital"])
    paris = next(f for f in resolved.facts if f.cluster == "france")
    assert tokenizer.convert_ids_to_tokens(paris.target_id) == "▁Paris"
    assert paris.ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(paris.ids[1:]) == paris.prompt
    assert resolved.dropped == {}
    assert len(resolved.facts) == len(texts)
    assert set(resolved.clusters) == {s.cluster for s in texts}


def test_without_bos_the_prompt_stands_alone() -> None:
    texts = statements(["capital"])
    words = words_of(texts)
    resolved = resolve_facts(stand_in(metaspace_tokenizer(words, bos=False), len(words) + 3), ["capital"])
    assert resolved.facts[0].ids[0] != 1
    assert "BOS none" in resolved.note


def test_unknown_tokens_drop_the_fact_and_name_the_reason() -> None:
    texts = statements(["capital"])
    words = words_of(texts, leave_out=frozenset({"▁Paris"}))
    resolved = resolve_facts(stand_in(metaspace_tokenizer(words), len(words) + 3), ["capital"])
    assert resolved.dropped == {"france": "unknown token"}
    assert "france" not in resolved.clusters
    assert "x unknown token" in resolved.note


def test_an_entity_stays_with_the_facts_that_are_left() -> None:
    texts = statements(["capital", "continent"])
    words = words_of(texts, leave_out=frozenset({"▁Paris"}))
    resolved = resolve_facts(stand_in(metaspace_tokenizer(words), len(words) + 3), ["capital", "continent"])
    assert resolved.dropped == {}
    assert {f.relation for f in resolved.facts if f.cluster == "france"} == {"continent"}


def test_answers_of_several_tokens_are_refused_never_cut() -> None:
    backend = Tokenizer(models.WordLevel({t: i for i, t in enumerate([*SPECIAL, *"abcdefgh "])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<bos>")
    texts = [Statement("x", "r", "t", "abc", "de")]
    assert resolve_statements(stand_in(tokenizer, 20), texts).dropped == {"x": "answer is not a single token"}


def test_an_answer_that_changes_the_prompt_is_dropped() -> None:
    backend = Tokenizer(
        models.BPE({t: i for i, t in enumerate([*SPECIAL, "a", " ", "b", "a "])}, [("a", " ")], unk_token="<unk>")
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<bos>")
    resolved = resolve_statements(stand_in(tokenizer, 20), [Statement("x", "r", "t", "a", "b")])
    assert resolved.dropped == {"x": "the answer changes the tokens of the prompt"}


def test_order_depends_on_the_seed_and_the_names_only() -> None:
    texts = statements(["capital"])
    words = words_of(texts)
    model = stand_in(metaspace_tokenizer(words), len(words) + 3)
    assert resolve_statements(model, texts, seed=1).clusters == resolve_statements(model, texts[::-1], seed=1).clusters
    assert resolve_statements(model, texts, seed=1).clusters != resolve_statements(model, texts, seed=2).clusters


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: statements(["colour"]), "unknown relation 'colour'.*capital"),
        (lambda: statements(templates={"capital": ["The capital is"]}), "lacks {country}"),
        (lambda: statements(["capital"], templates={}), "no templates for relation 'capital'"),
        (lambda: resolve_facts(stand_in(None, 10)), "has no tokenizer"),
        (
            lambda: resolve_statements(stand_in(metaspace_tokenizer(["a"]), 4), [Statement("x", "r", "t", "a ", "a")]),
            "ends with white space",
        ),
    ],
)
def test_bad_requests_are_named(call: object, match: str) -> None:
    with pytest.raises(UsageProblem, match=match):
        call()  # type: ignore[operator]
