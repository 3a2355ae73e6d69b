"""The columns of a profile that claims stand behind: probes, drift and coders give the figures that a claim reports."""

from __future__ import annotations

import pytest
from assertions.outcome import verdict_of
from measures.small import gpt2
from prompts.words import metaspace_tokenizer

from interp_assert.assertions import assert_drift_below, assert_probe_auroc
from interp_assert.errors import UsageProblem
from interp_assert.models import Model
from interp_assert.profiles import measures, profile, profiled_measures
from interp_assert.prompts import labelled_set


@pytest.fixture(scope="module")
def reader() -> Model:
    """An untrained model that knows every word of the truth data set."""
    words = dict.fromkeys(piece for text in labelled_set("truth").texts for piece in _pieces(text))
    tokenizer = metaspace_tokenizer(list(words))
    return gpt2(tokenizer=tokenizer, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2)


def _pieces(text: str) -> list[str]:
    return [text.split()[0], *(f"▁{word}" for word in text.split())]


def test_a_probe_is_the_one_that_is_claimed(reader: Model) -> None:
    [figure] = profile(reader, budget=48, only=["probes/truth"]).figures
    verdict = verdict_of(assert_probe_auroc, reader, "truth", budget=48, twins=2)
    assert figure.value == verdict.details["auroc"]
    assert figure.interval == tuple(verdict.details["auroc_interval"])
    assert figure.details["by_block"] == verdict.details["by_block"]
    assert figure.n == verdict.details["groups"]["test"]
    assert figure.approximate
    assert figure.note == f"words {figure.details['bag_of_words']:.3f}; {verdict.layer}"
    assert "on groups it never saw" in figure.about


def test_probes_of_too_few_groups_are_blank(reader: Model) -> None:
    [few] = profile(reader, budget=2, only=["probes/truth"]).figures
    assert few.value is None
    assert "give more groups" in few.missing
    [without] = profile(gpt2(), only=["probes/truth"]).figures
    assert without.missing == "it has no tokenizer, so texts cannot be put into its tokens"


def test_drift_is_measured_against_the_base_and_is_left_out_without() -> None:
    base, moved = gpt2(), gpt2()
    moved.module.transformer.h[0].mlp.c_proj.bias.data += 0.1  # type: ignore[union-attr,operator]
    drift = [measure.name for measure in profiled_measures(base=True) if measure.needs_base]
    assert drift == ["drift/output", "drift/residual", "drift/weights"]
    assert not set(drift) & {measure.name for measure in profiled_measures()}
    with pytest.raises(UsageProblem, match="drift/output needs a model to be measured against"):
        profile(base, only=["drift/output"])

    made = profile(moved, base=base, budget=32, only=drift)
    output, residual, weights = made.figures
    verdict = verdict_of(assert_drift_below, moved, base, total_variation=0.5, budget=32, twins=2)
    assert output.value == pytest.approx(verdict.details["output"]["total_variation"], rel=0.5)
    assert 0.0 < output.value < 0.5
    assert output.interval is not None
    assert output.interval[0] < output.value < output.interval[1]
    assert residual.details["by_block"][0] == 0.0 < residual.details["by_block"][1]
    assert residual.value == residual.details["by_block"][-1]
    assert residual.interval is not None
    assert residual.interval[0] < residual.value < residual.interval[1]
    assert weights.value == verdict.details["weights"]["whole"] > 0.0
    assert weights.interval is None
    assert [made.costs[name].tokens > 0 for name in drift] == [True, False, False], "read once, for all three"
    assert made.costs["drift/output"].tokens >= 2 * output.details["positions"], "the passes of the base count too"

    for figure in profile(gpt2(), base=base, budget=32, only=drift).figures:
        assert figure.value == 0.0, "identical models have not moved at all"


def test_drift_from_a_model_of_another_width_says_what_cannot_be_compared() -> None:
    made = profile(gpt2(), base=gpt2(n_embd=48), budget=16, only=["drift/output", "drift/residual", "drift/weights"])
    output, residual, weights = made.figures
    assert output.value is not None
    assert residual.missing == "the residual streams differ in width: 32 in random-gpt2-0, 48 in random-gpt2-0"
    assert weights.value is None


def test_a_sparse_coder_is_trained_only_by_name() -> None:
    assert "coders/variance_explained" not in [measure.name for measure in profiled_measures(base=True)]
    model = gpt2()
    [figure] = profile(model, budget=16, only=["coders/variance_explained"]).figures
    assert figure.value is not None
    assert figure.interval is not None
    assert figure.interval[0] < figure.value < figure.interval[1] <= 1.0
    assert figure.details["site"] == "blocks.1.resid_post"
    assert figure.details["l0"] == figure.details["rank"] == 8
    assert figure.note == f"PCA {figure.details['pca']:.3f}"
    assert 0.0 < figure.details["pca"] < figure.value


def test_every_column_says_what_it_is() -> None:
    shipped = profiled_measures(base=True)
    assert len(shipped) == len(measures.SHIPPED) - 1, "all but the coder"
    assert all(measure.about for measure in shipped)
