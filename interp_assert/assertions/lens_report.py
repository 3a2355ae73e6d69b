"""What a verdict on the lens tells besides the decision: the lens by block, counts, and KL on sampled text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..measures import LensScores, lens_kl
from ..prompts import CannotSample, ResolvedFacts, sample_documents

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["TEXT_DOCUMENTS", "TEXT_LENGTH", "count_details", "lens_details", "text_kl"]

TEXT_DOCUMENTS, TEXT_LENGTH = 32, 96
"""Sampled text for the KL by block: documents and tokens of each, enough for two digits."""


def text_kl(model: Model, seed: int) -> dict[str, Any]:
    """``kl_by_block``: mean KL(final || entry) in nats on documents sampled from the model, entry 0 the embedding; or
    why not.
    """
    try:
        documents = sample_documents(model, TEXT_DOCUMENTS, TEXT_LENGTH, seed=seed)
    except CannotSample as problem:
        return {"kl_by_block": None, "kl_note": str(problem)}
    tokens = sum(len(document) - 1 for document in documents)
    if tokens == 0:
        return {"kl_by_block": None, "kl_note": "every document that the model begins ends at once"}
    return {
        "kl_by_block": [float(value) for value in lens_kl(model, documents)],
        "kl_note": f"{len(documents)} documents sampled from the model itself, {tokens} sampled tokens, seed {seed}",
    }


def count_details(listed: ResolvedFacts) -> dict[str, Any]:
    """How many facts and entities there were, which were dropped and why."""
    return {
        "facts": len(listed.facts),
        "entities": len(listed.clusters),
        "dropped": dict(listed.dropped),
        "facts_note": listed.note,
    }


def lens_details(scores: LensScores, kept: Sequence[int], entities: int, *, all_facts: bool) -> dict[str, Any]:
    """Means over the answered facts ``kept``, or over all facts where too few are answered.

    ``median_block`` is the block by which half of those facts have crossed over for good, None if half never do.
    """
    over = list(range(len(scores.facts))) if all_facts else list(kept)
    rank, p, kl = scores.rank[over], scores.p[over], scores.kl[over]
    crossover = [scores.crossover[i] for i in over]
    hits = [scores.first_hit[i] for i in over]
    entries = range(scores.n_blocks + 1)
    crossed = [float(np.mean([at is not None and at <= entry for at in crossover])) for entry in entries]
    by_block = [
        {
            "block": "embed" if entry == 0 else entry,
            "rank 0": float((rank[:, entry] == 0).mean()),
            "median rank": float(np.median(rank[:, entry])),
            "p(target)": float(p[:, entry].mean()),
            "KL": float(kl[:, entry].mean()),
            "crossed": crossed[entry],
            "hit": float(np.mean([at is not None and at <= entry for at in hits])),
        }
        for entry in entries
    ]
    median = next((entry for entry in entries if crossed[entry] >= 0.5), None)
    whose = "all facts (too few are answered)" if all_facts else "answered facts"
    return {
        "answered_facts": len(kept),
        "answered_entities": entities,
        "median_block": median,
        "by_block_over": whose,
        "by_block": by_block,
        "profile": {
            "facts": f"{len(kept)} of {len(scores.facts)} answered, of {entities} entities; by block: {whose}",
            "crossover": f"half have crossed over for good by block {median} of {scores.n_blocks}"
            if median is not None
            else "half never cross over for good",
        },
    }
