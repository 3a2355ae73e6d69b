"""Facts about countries as prompts whose next word is the answer, with every target resolved in the context of its
prompt.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageProblem
from .pool import bos_id

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["Fact", "ResolvedFacts", "Statement", "fact_templates", "resolve_facts", "resolve_statements", "statements"]


@dataclass(frozen=True)
class Statement:
    """A fact as text. ``prompt`` does not end with a space; the answer is the next word, ``" " + target``."""

    cluster: str
    relation: str
    template: str
    prompt: str
    target: str


@dataclass(frozen=True)
class Fact:
    """A statement in a model's own tokens.

    Attributes:
        cluster: the entity, which is the independent unit.
        ids: the prompt, BOS first if the tokenizer defines one.
        target_id: the single token that continues the prompt with the answer.
    """

    cluster: str
    relation: str
    template: str
    prompt: str
    target: str
    ids: tuple[int, ...]
    target_id: int


@dataclass(frozen=True)
class ResolvedFacts:
    """What could be put into the model's tokens, and what could not.

    Attributes:
        facts: entities in the seeded order, each entity's facts together.
        dropped: entity -> reason, for entities of which no fact is left.
        note: BOS, counts and reasons of single facts dropped.
    """

    facts: tuple[Fact, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def clusters(self) -> tuple[str, ...]:
        """Entities with at least one fact, in order."""
        return tuple(dict.fromkeys(fact.cluster for fact in self.facts))


def _data(name: str) -> str:
    return (resources.files(__package__) / "data" / name).read_text(encoding="utf-8")


def fact_templates() -> dict[str, list[str]]:
    """The shipped templates by relation; each holds ``{country}`` and ends where the answer begins."""
    templates: dict[str, list[str]] = json.loads(_data("fact_templates.json"))
    return templates


def statements(
    relations: Iterable[str] | None = None, templates: Mapping[str, Sequence[str]] | None = None
) -> list[Statement]:
    """The shipped countries under the given relations and templates (all by default), in file order.

    Raises UsageProblem for an unknown relation or a template without ``{country}``.
    """
    table = dict(templates) if templates is not None else fact_templates()
    countries = list(csv.DictReader(_data("countries.csv").splitlines()))
    known = [name for name in countries[0] if name not in ("entity", "country")]
    chosen = list(relations) if relations is not None else list(table)
    for relation in chosen:
        if relation not in known:
            raise UsageProblem(f"unknown relation {relation!r}; the shipped facts have {', '.join(known)}")
        if relation not in table:
            raise UsageProblem(
                f"no templates for relation {relation!r}; templates are given for {', '.join(table) or 'none'}"
            )
        for template in table[relation]:
            if "{country}" not in template:
                raise UsageProblem(f"template {template!r} of relation {relation!r} lacks {{country}}")
    return [
        Statement(row["entity"], relation, template, template.replace("{country}", row["country"]), row[relation])
        for row in countries
        for relation in chosen
        for template in table[relation]
    ]


def resolve_facts(
    model: Model,
    relations: Iterable[str] | None = None,
    templates: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> ResolvedFacts:
    """The shipped facts in the model's tokens; see `resolve_statements`."""
    return resolve_statements(model, statements(relations, templates), seed=seed)


def resolve_statements(model: Model, texts: Sequence[Statement], seed: int = 0) -> ResolvedFacts:
    """Resolve each target in context: the ids that ``prompt + " " + target`` adds to those of ``prompt``.

    A statement is dropped if the prompt's ids are not a prefix of the whole, if the answer is not exactly one token,
    or if an unknown token occurs. Entities come in an order that depends on the seed and the entity names only.

    Raises UsageProblem if the model has no tokenizer, or a prompt ends with white space (the answer brings its own
    space).
    """
    if model.tokenizer is None:
        raise UsageProblem(
            f"{model.id} has no tokenizer, so facts cannot be put into its tokens; give wrap() a tokenizer"
        )
    bos = bos_id(model)
    groups: dict[str, list[Statement]] = {}
    for statement in texts:
        groups.setdefault(statement.cluster, []).append(statement)
    facts: list[Fact] = []
    dropped: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    for cluster in _seeded_order(groups, seed):
        kept, failed = [], []
        for statement in groups[cluster]:
            resolved = _resolve(model.tokenizer, int(model.vocab_size), bos, statement)
            if isinstance(resolved, Fact):
                kept.append(resolved)
            else:
                failed.append(resolved)
        facts += kept
        reasons.update(failed)
        if not kept:
            dropped[cluster] = failed[0]
    note = f"BOS {'none' if bos is None else bos}; {len(facts)} of {len(texts)} facts resolved"
    if reasons:
        note += "; dropped: " + ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
    return ResolvedFacts(tuple(facts), dropped, note)


def _seeded_order(names: Iterable[str], seed: int) -> list[str]:
    ordered = sorted(names)
    keys = np.random.default_rng([seed, 0xFAC7]).random(len(ordered))
    return [ordered[i] for i in np.argsort(keys, kind="stable")]


def _encode(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def _answer_text(target: str) -> str:
    """The answer as it follows a word: with its space in front, which most vocabularies make part of the token."""
    return " " + target


def _resolve(tokenizer: Any, vocab_size: int, bos: int | None, statement: Statement) -> Fact | str:
    """The fact, or the reason why it cannot be used."""
    if statement.prompt != statement.prompt.rstrip():
        raise UsageProblem(
            f"prompt {statement.prompt!r} ends with white space; end it with the last word, the answer brings its space"
        )
    prompt = _encode(tokenizer, statement.prompt)
    whole = _encode(tokenizer, statement.prompt + _answer_text(statement.target))
    if not prompt:
        return "empty prompt"
    if whole[: len(prompt)] != prompt:
        return "the answer changes the tokens of the prompt"
    answer = whole[len(prompt) :]
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown in whole:
        return "unknown token"
    if max(whole) >= vocab_size:
        return "token outside the model's vocabulary"
    if len(answer) != 1:
        return "answer is not a single token"
    ids = tuple(prompt if bos is None else [bos, *prompt])
    return Fact(
        statement.cluster, statement.relation, statement.template, statement.prompt, statement.target, ids, answer[0]
    )
