"""What a claim about a probe is asked on: texts in the model's tokens, their parts, and the sites to choose among."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..controls import embedding_site
from ..errors import ContextTooShort, SiteNotAvailable, UsageProblem
from ..measures.probes import KINDS
from ..models.sites import block_of, part_of
from ..prompts import SHIPPED_SETS, LabelledRows, LabelledTexts, labelled_set, put_into_tokens
from ..prompts.labelled_tokens import left_out
from ..stats import Pairs, Split, pair_up, split_by_group
from ..stats.splits import PARTS

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["LEAST_GROUPS", "ProbeTask", "data_of", "kind_of", "named_layer", "probe_task"]

LEAST_GROUPS = 80
"""of a data set that has more, which must be in the model's vocabulary: half of them make the 20 pairs of the test part
with which a probe that is never wrong can just be told from chance"""

_LOOKED_AT = 8
"""times the groups of the budget, which are put into tokens to find those that the model knows"""

_OF_A_GROUP = 16
"""texts at most, so that memory is bounded by the budget; a pair takes one of a group, and more add little to a fit"""


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """Texts, parts and sites of one model.

    Attributes:
        rows: the texts in the model's tokens.
        split: their parts.
        pairs: disjoint pairs of the test part, with places among all texts.
        sites: those of which the best is taken.
        embedding: the site before the first block.
    """

    rows: LabelledRows
    split: Split
    pairs: Pairs
    sites: tuple[str, ...]
    embedding: str

    @property
    def test_groups(self) -> list[str]:
        """The group of each text of the test part."""
        return [self.rows.groups[i] for i in self.split.test]

    def details(self) -> dict[str, Any]:
        """Counts, for the record."""
        parts = {part: getattr(self.split, part) for part in PARTS}
        groups = {part: len({self.rows.groups[i] for i in places}) for part, places in parts.items()}
        return {
            "texts": {part: len(places) for part, places in parts.items()},
            "groups": groups,
            "pairs": len(self.pairs),
            "dropped": dict(self.rows.dropped),
            "data_note": self.rows.note,
        }


def data_of(data: object) -> LabelledTexts:
    """A data set, or the shipped one of that name."""
    if isinstance(data, str) and data not in SHIPPED_SETS and Path(data).suffix:
        raise UsageProblem(f"data={data!r} is no shipped set; of a file give read_labelled({data!r})")
    if isinstance(data, str):
        return labelled_set(data)
    if not isinstance(data, LabelledTexts):
        raise UsageProblem(
            f"data is a {type(data).__name__}; give LabelledTexts, the name of a shipped set, or read_labelled(...) of "
            "a file, rows or a dataset"
        )
    return data


def kind_of(probe: str) -> str:
    """One of the kinds of probes."""
    if probe not in KINDS:
        raise UsageProblem(f"no probe {probe!r}; there are {', '.join(KINDS)}")
    return probe


def probe_task(
    model: Model, data: LabelledTexts, layer: str | int, split: Split | None, most_groups: int, seed: int
) -> ProbeTask | str:
    """The task, or why the model cannot be asked.

    Raises UsageProblem for a layer that is no block, or parts that cannot be made or that share a group.
    """
    if split is not None and not isinstance(split, Split):
        raise UsageProblem(f"split is a {type(split).__name__}; give Split(train, select, test), of each the places")
    if split is not None:
        split.check(data.labels, data.groups)
    sites = _sites(model, layer)
    embedding = embedding_site(model)
    if isinstance(sites, str):
        return sites
    if embedding is None:
        return "its embedding cannot be read, with which every other layer is compared"
    if model.tokenizer is None:
        return "it has no tokenizer, so texts cannot be put into its tokens"
    try:
        looked_at = data if split is not None else data.some_groups(_LOOKED_AT * most_groups, seed)
        rows = put_into_tokens(looked_at, model)
    except ContextTooShort as problem:
        return str(problem)
    if rows.data is None or (rows.dropped and rows.n_groups < LEAST_GROUPS):
        return (
            f"{rows.n_groups} of {data.n_groups} groups are in its vocabulary, at least {LEAST_GROUPS} are needed "
            f"({left_out(rows.dropped)})"
        )
    if split is None:
        rows = rows.some_groups(most_groups, seed).some_of_each_group(_OF_A_GROUP, seed)
        split = split_by_group(rows.labels, rows.groups, seed=seed)
    else:
        split = _among(split, rows)
        split.check(rows.labels, rows.groups)
    test = split.test
    pairs = pair_up(rows.labels[test], [rows.groups[i] for i in test], seed)
    if len(pairs) < 2:
        raise UsageProblem(
            f"the test part of {data.name!r} has {len({rows.groups[i] for i in test})} groups, which make {len(pairs)} "
            "disjoint pairs; 2 are needed at least and dozens for a decision: give more groups"
        )
    pairs = Pairs(pairs.ids, test[pairs.positive], test[pairs.negative])
    return ProbeTask(rows, split, pairs, sites, embedding)


def named_layer(site: str, n_blocks: int) -> str:
    """``block 3 of 4`` for the stream after a block, else the site itself."""
    block = block_of(site)
    return f"block {block + 1} of {n_blocks}" if block is not None and part_of(site) == "resid_post" else site


def _sites(model: Model, layer: str | int) -> tuple[str, ...] | str:
    anatomy, n_blocks = model.anatomy, int(model.anatomy.n_blocks)
    if isinstance(layer, str) and layer != "best":
        try:
            sites = tuple(anatomy.resolve([layer]))
        except SiteNotAvailable as problem:
            return str(problem)
        return sites if "logits" not in sites else "logits are no activations; name a site inside the model"
    whole = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
    if layer != "best" and not (whole and 1 <= int(layer) <= n_blocks):
        raise UsageProblem(
            f"layer={layer!r} must be 'best', a block from 1 to {n_blocks}, or a site such as 'blocks.0.mlp.out'"
        )
    blocks = range(n_blocks) if layer == "best" else [int(layer) - 1]
    found = tuple(site for i in blocks if anatomy.has(site := f"blocks.{i}.resid_post"))
    return found or "its residual stream cannot be read"


def _among(split: Split, rows: LabelledRows) -> Split:
    """A split of the data set, as places among the texts that are left of it."""
    place = {old: new for new, old in enumerate(rows.kept)}
    return Split(*(np.array([place[i] for i in getattr(split, part) if i in place], dtype=np.int64) for part in PARTS))
