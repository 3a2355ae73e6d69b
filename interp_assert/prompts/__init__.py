"""Seeded streams of clusters of prompts, one module per kind."""

from __future__ import annotations

from .documents import Document, Documents, GivenDocuments, SampledDocuments, why_not_the_same_tokens
from .endless import Endless
from .facts import Fact, ResolvedFacts, Statement, fact_templates, resolve_facts, resolve_statements, statements
from .labelled import LabelledTexts
from .labelled_files import read_labelled
from .labelled_tokens import LabelledRows, put_into_tokens
from .pool import TokenPool, bos_id, special_ids, token_pool
from .repeated import PoolTooSmall, RepeatedTokens, RepeatedTokenStream
from .rows import CorpusRows, Row, RowSource, SampledRows, rows_of
from .sampled import CannotSample, sample_documents
from .shipped import SHIPPED_SETS, continents, labelled_set

__all__ = [
    "SHIPPED_SETS",
    "CannotSample",
    "CorpusRows",
    "Document",
    "Documents",
    "Endless",
    "Fact",
    "GivenDocuments",
    "LabelledRows",
    "LabelledTexts",
    "PoolTooSmall",
    "RepeatedTokenStream",
    "RepeatedTokens",
    "ResolvedFacts",
    "Row",
    "RowSource",
    "SampledDocuments",
    "SampledRows",
    "Statement",
    "TokenPool",
    "bos_id",
    "continents",
    "fact_templates",
    "labelled_set",
    "put_into_tokens",
    "read_labelled",
    "resolve_facts",
    "resolve_statements",
    "rows_of",
    "sample_documents",
    "special_ids",
    "statements",
    "token_pool",
    "why_not_the_same_tokens",
]
