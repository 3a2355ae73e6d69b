"""The public strategies draw what a model can take, and failures shrink to the smallest."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.tiny import build
from models.tiny_models import gpt2, word_tokenizer

from interp_assert.conformance import CHECKS, Finding, search
from interp_assert.errors import SiteNotAvailable, UsageProblem
from interp_assert.models import Model, wrap
from interp_assert.prompts import token_pool
from interp_assert.stats import Budget
from interp_assert.strategies import edits, for_budget, n_examples, positions, sites, smallest, token_ids

from . import broken


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(gpt2(n_positions=9), word_tokenizer(), id="words")


def test_ids_stay_within_vocabulary_and_context_and_are_ordinary(model: Model) -> None:
    pool = set(token_pool(model).ids.tolist())
    assert pool <= set(range(3, 64))  # not <unk>, <s>, </s>
    shapes = set()

    @for_budget("thorough")
    @given(ids=token_ids(model, rows=(2, 3), length=(2, 40)))
    def drawn(ids: torch.Tensor) -> None:
        shapes.add(tuple(ids.shape))
        assert ids.dtype == torch.long
        assert {int(token) for token in ids.flatten()} <= pool

    drawn()
    assert {rows for rows, _ in shapes} == {2, 3}
    assert {length for _, length in shapes} <= set(range(2, 10))
    assert len(shapes) > 6


def test_distinct_ids_do_not_repeat_in_a_row(model: Model) -> None:
    @for_budget("quick")
    @given(ids=token_ids(model, distinct=True))
    def drawn(ids: torch.Tensor) -> None:
        assert all(len(set(row)) == len(row) for row in ids.tolist())

    drawn()


def test_a_vocabulary_of_special_ids_alone_is_refused() -> None:
    with pytest.raises(UsageProblem, match="has 1 ordinary ids; two at least are needed"):
        token_ids(wrap(gpt2(vocab_size=3, bos_token_id=0, eos_token_id=1), id="tiny"))


def test_sites_and_edits_fit_the_model(model: Model) -> None:
    @for_budget("standard")
    @given(site=sites(model, "blocks.*"), edit=edits(), ids=token_ids(model))
    def drawn(site: str, edit: object, ids: torch.Tensor) -> None:
        assert site.startswith("blocks.")
        assert model.trace(ids, write={site: edit}).logits.isfinite().all()

    drawn()
    assert repr(smallest(edits(), lambda edit: True)) == "Smallest(example=scale(-1.0), failure=True, tried=1)"
    with pytest.raises(SiteNotAvailable, match=r"blocks\.\*\.ssm\.out"):
        sites(model, "blocks.*.ssm.out")


def test_positions_are_those_of_the_ids() -> None:
    ids = torch.zeros(2, 5, dtype=torch.long)
    found = smallest(positions(ids, first=1), lambda at: at if at >= 3 else None, examples=50)
    assert found is not None
    assert found.example == 3
    assert smallest(positions(ids), lambda at: at > 4 or None, examples=50) is None


def test_a_budget_says_how_many_examples() -> None:
    assert [n_examples(name) for name in ("quick", "standard", "thorough")] == [4, 8, 64]
    assert n_examples(Budget("mine", 1)) == 4


def test_the_same_seed_tries_the_same_examples_and_another_one_others(model: Model) -> None:
    def tried(seed: int) -> list[list[list[int]]]:
        seen: list[list[list[int]]] = []
        smallest(token_ids(model), lambda ids: seen.append(ids.tolist()), examples=8, seed=seed)
        return seen

    assert tried(0) == tried(0) != tried(1)


def test_modules_of_the_user_do_not_change_what_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer releases of hypothesis take numbers from their source."""

    def tried() -> list[int]:
        seen: list[int] = []
        smallest(st.integers(0, 10**9), seen.append, examples=200)
        return seen

    before = tried()
    (tmp_path / "settings_of_mine.py").write_text("LIMITS = [" + ", ".join(map(str, range(1000, 1400))) + "]")
    monkeypatch.syspath_prepend(str(tmp_path.resolve()))
    import_module("settings_of_mine")
    assert tried() == before


def test_a_failure_shrinks_to_the_smallest_example(model: Model) -> None:
    """Wrong as soon as a row holds id 40 or higher at position 2 or later."""

    def wrong(ids: torch.Tensor) -> str | None:
        return "here" if bool((ids[:, 2:] >= 40).any()) else None

    found = smallest(token_ids(model), wrong, examples=50)
    assert found is not None
    assert found.example.tolist() == [[3, 3, 40]]
    assert found.failure == "here"


def test_shrinking_ends_after_so_many_examples(model: Model) -> None:
    tried = []

    def wrong(ids: torch.Tensor) -> bool | None:
        tried.append(ids)
        return True if ids.numel() > 5 else None

    found = smallest(token_ids(model), wrong, examples=50, shrinks=7)
    assert found is not None
    assert found.example.numel() > 5
    first = next(i for i, ids in enumerate(tried) if ids.numel() > 5)
    assert len(tried) - first - 1 <= 7
    assert found.tried == len(tried)


def test_a_fault_of_a_model_is_shown_on_its_smallest_input() -> None:
    """The model sees tokens of id 60 or higher before their time: two tokens show it, the second of them 60."""
    searched = search(broken.foresees(60), CHECKS["causality"], budget="quick")
    finding: Finding = searched.finding
    assert repr(finding.example) == "ids=[[3, 60]], position=1"
    assert finding.site == "blocks.0.resid_pre"
    assert 5 < searched.tried <= 64


def test_a_model_without_tokenizer_is_asked_without_its_special_ids() -> None:
    model = wrap(build("llama"), id="tiny")
    found = smallest(token_ids(model), lambda ids: True, examples=1)
    assert found is not None
    assert found.example.tolist() == [[3, 3]]
