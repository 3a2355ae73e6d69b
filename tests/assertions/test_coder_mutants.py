"""Each way in which figures of coders have gone wrong elsewhere is put into this code, and a check that the real code
passes must fail.

Built as ``test_mutants`` is: ``MUTANTS`` name the function, what it becomes and the check that notices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from coders.planted import gaussian, pca_as_relu
from measures.small import gpt2

import interp_assert.assertions.coder_run as coder_run
import interp_assert.coders.cross_entropy as cross_entropy
from interp_assert import load
from interp_assert.assertions import assert_sae_variance_explained
from interp_assert.assertions.coder_run import CoderRun
from interp_assert.coders import SiteReader, cross_entropy_recovered, evaluate_coders, recipe_for
from interp_assert.coders.metrics import CoderScores, VarianceSums
from interp_assert.controls import BetterByDocument, TwinScore
from interp_assert.models import Model
from interp_assert.prompts import SampledRows
from interp_assert.stats import Outcome

from .outcome import control, verdict_of

twins = import_module("interp_assert.models.twins")  # its package has a function of that name

SITE = "blocks.1.resid_post"
ROWS = [[0, 5, 9, 33, 12, 6, 71], [0, 14, 15, 16, 17, 18, 19]]


def long_and_short() -> torch.Tensor:
    """Vectors of very different lengths, around a mean far from 0."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.where(torch.rand(2000, 1, generator=generator) < 0.02, 60.0, 1.0)
    return torch.randn(2000, 16, generator=generator) * lengths + 40.0


def variance_explained_is_r2_weighted_by_variance() -> None:
    x = long_and_short()
    long = (x - 40.0).norm(dim=-1, keepdim=True) > 20
    found = VarianceSums.of(x, torch.where(long, 0.9 * (x - 40.0) + 40.0, 39.0), x.mean(0)).about_own_mean
    a, b = x.double(), torch.where(long, 0.9 * (x - 40.0) + 40.0, 39.0).double()
    assert found == pytest.approx(1 - float((a - b).square().sum() / (a - a.mean(0)).square().sum()), abs=1e-9)


def dimensions_count_by_their_variance() -> None:
    spectrum = [16.0, 4.0, 1.0, 1.0]
    x, directions = gaussian(spectrum, 20_000)
    x = x @ directions.T  # along the axes
    only_first = pca_as_relu(torch.eye(4), 1, torch.zeros(4))
    assert VarianceSums.of(x, only_first(x), x.mean(0)).about_own_mean == pytest.approx(16 / 22, abs=0.01)


def an_offset_is_an_error() -> None:
    x = long_and_short()
    assert VarianceSums.of(x, x + 40.0, x.mean(0)).about_own_mean < 0.0


def a_document_is_held_against_the_training_mean() -> None:
    """A document that is all alike, away from the mean: predicting it explains all, predicting the mean nothing."""
    x = torch.full((5, 2), 3.0) + torch.randn(5, 2, generator=torch.Generator().manual_seed(0)) * 1e-3
    scores = CoderScores(("d",), (VarianceSums.of(x, torch.full((5, 2), 3.0), torch.zeros(2)),))
    assert scores.by_document[0] == pytest.approx(1.0, abs=1e-5)


def what_only_bos_has_explains_nothing() -> None:
    """A first position with a huge norm, as in GPT-2: a reconstruction of it and nothing else has VE .9 with it."""
    model = gpt2()
    with torch.no_grad():
        model.module.transformer.wpe.weight[0] *= 100
    reader = SiteReader(model, SITE)
    values = torch.cat([torch.cat(piece) for piece in reader.read(ROWS)])

    def outliers_only(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.norm(dim=-1, keepdim=True) > 5 * values.norm(dim=-1).median(), x, values.mean(0))

    [scores] = evaluate_coders(reader, [outliers_only], [("a", ROWS[0]), ("b", ROWS[1])], values.mean(0))
    assert scores.variance_explained < 0.05


def what_is_read_is_what_the_block_gives() -> None:
    model = gpt2()
    seen: list[torch.Tensor] = []
    hook = model.module.transformer.h[1].register_forward_hook(
        lambda module, args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        model.module(torch.tensor(ROWS))
    hook.remove()
    [values] = SiteReader(model, SITE).read(ROWS)
    torch.testing.assert_close(torch.stack(values), seen[0][:, 1:])


def ablations_change_the_loss_as_a_hook_would() -> None:
    model = gpt2()
    reader = SiteReader(model, SITE)
    mean = torch.linspace(-3, 3, 32)
    found = cross_entropy_recovered(reader, torch.zeros_like, ROWS, mean)
    ids = torch.tensor(ROWS)
    for value, loss in ((torch.zeros(32), found.zero), (mean, found.mean), (torch.zeros(32), found.coder)):

        def put(module: Any, args: Any, out: Any, value: torch.Tensor = value) -> Any:
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            hidden[:, 1:] = value
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        hook = model.module.transformer.h[1].register_forward_hook(put)
        with torch.no_grad():
            logits = model.module(ids).logits
        hook.remove()
        expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        assert loss == pytest.approx(float(expected), abs=1e-5)


def rows_to_judge_on_are_not_trained_on() -> None:
    rows = SampledRows(gpt2(), 8)
    trained = set(rows.training(512))
    assert not trained & {row for _, row in rows.evaluation(0, 64)}


@cache
def trained() -> tuple[Model, SampledRows]:
    """A trained model and what it writes."""
    model = load("zoo:gpt2-no-induction")
    return model, SampledRows(model, 32)


def a_trained_model_passes() -> None:
    recipe = recipe_for(64, steps=40, batch=64, tokens=1024)
    model, rows = trained()
    verdict = verdict_of(assert_sae_variance_explained, model, recipe=recipe, documents=rows, budget=64)
    assert verdict.outcome is Outcome.PASS


def a_trained_model_beats_frozen_atoms() -> None:
    recipe = recipe_for(64, steps=40, batch=64, tokens=1024)
    model, rows = trained()
    options = {"recipe": recipe, "documents": rows, "budget": 64, "twins": 1, "floor": 0.3}
    verdict = verdict_of(assert_sae_variance_explained, model, **options)
    assert control(verdict, "frozen_decoder").outcome is Outcome.PASS
    assert verdict.outcome is Outcome.PASS


def a_random_model_is_refused_by_its_twins() -> None:
    recipe = recipe_for(32, steps=40, batch=128, tokens=1024)
    verdict = verdict_of(assert_sae_variance_explained, gpt2(), recipe=recipe, length=32, budget=64)
    assert control(verdict, "random_weights").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def sums(n: int, residual: Any, total: Any, x: torch.Tensor) -> VarianceSums:
    return VarianceSums(n, float(residual), float(total), np.zeros(x.shape[1]))


def legacy(x: torch.Tensor, y: torch.Tensor, centre: torch.Tensor) -> VarianceSums:
    """The mean over tokens of each token's own ratio."""
    ratio = (x - y).double().square().sum(-1) / (x.double() - x.double().mean(0)).square().sum(-1)
    return sums(len(x), ratio.sum(), len(x), x)


def double_square(x: torch.Tensor, y: torch.Tensor, centre: torch.Tensor) -> VarianceSums:
    """E||x||^2 - (E||x||^2 / d)^2 for the variance."""
    mean_square = x.double().square().sum(-1).mean()
    return sums(1, (x - y).double().square().sum(-1).mean(), mean_square - (mean_square / x.shape[1]) ** 2, x)


def uniform_average(x: torch.Tensor, y: torch.Tensor, centre: torch.Tensor) -> VarianceSums:
    """The mean over dimensions of each dimension's own ratio: scikit-learn's default."""
    ratio = (x - y).double().square().sum(0) / (x.double() - x.double().mean(0)).square().sum(0)
    return sums(len(x), ratio.mean(), 1.0, x)


def variance_of_the_error(x: torch.Tensor, y: torch.Tensor, centre: torch.Tensor) -> VarianceSums:
    """An offset is no error to it."""
    error = (x - y).double()
    about = x.double() - x.double().mean(0)
    return sums(len(x), (error - error.mean(0)).square().sum(), about.square().sum(), x)


def everything_counts(self: SiteReader, ids: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(ids, dtype=torch.bool)


def block_before(self: SiteReader, ids: torch.Tensor) -> list[torch.Tensor]:
    values = self.flat(self.model.trace(ids, ["blocks.0.resid_post"], logits=False)["blocks.0.resid_post"])
    return [row[counted] for row, counted in zip(values, self.counts(ids), strict=True)]


def aliased(model: Model, *, scheme: str = "resample", n: int | None = None, seed: int = 0) -> Iterator[Model]:
    return iter([model] * (n or 5))


def not_retrained(self: CoderRun, twin: Model, documents: Any) -> TwinScore:
    """The coder of the trained model, applied to a twin."""
    [scores] = evaluate_coders(self.reader.on(twin), [self.coder], documents, self.mean)
    return TwinScore.variance_explained([s.residual for s in scores.sums], [s.total for s in scores.sums])


def flipped(self: BetterByDocument, own: Any, other: Any) -> Outcome:
    behind = np.asarray(other) - np.asarray(own)
    if self.gate.outcome is Outcome.INCONCLUSIVE:
        self.gate.update((behind >= self.margin).astype(float))
    return self.gate.outcome


def leaked(self: SampledRows, start: int, count: int) -> list[tuple[str, Any]]:
    rows = self.training(10_000)[start : start + count]
    return [(f"leaked {start + i}", row) for i, row in enumerate(rows)]


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "mean of ratios": (VarianceSums, "of", staticmethod(legacy), variance_explained_is_r2_weighted_by_variance),
    "double square": (VarianceSums, "of", staticmethod(double_square), variance_explained_is_r2_weighted_by_variance),
    "uniform average": (VarianceSums, "of", staticmethod(uniform_average), dimensions_count_by_their_variance),
    "variance of the error": (VarianceSums, "of", staticmethod(variance_of_the_error), an_offset_is_an_error),
    "each document about its own mean": (
        VarianceSums,
        "about_centre",
        VarianceSums.about_own_mean,
        a_document_is_held_against_the_training_mean,
    ),
    "BOS counts": (SiteReader, "counts", everything_counts, what_only_bos_has_explains_nothing),
    "the block before": (SiteReader, "_read", block_before, what_is_read_is_what_the_block_gives),
    "edits never put in": (
        SiteReader,
        "put_back",
        lambda self, value, flat: value,
        ablations_change_the_loss_as_a_hook_would,
    ),
    "zero for mean ablation": (
        cross_entropy,
        "_loss_with",
        lambda reader, reconstruct, real=cross_entropy._loss_with: real(
            reader, lambda x: reconstruct(x) if reconstruct(x).ne(torch.linspace(-3, 3, 32)).any() else x * 0
        ),
        ablations_change_the_loss_as_a_hook_would,
    ),
    "judged on what it was trained on": (SampledRows, "evaluation", leaked, rows_to_judge_on_are_not_trained_on),
    "twins alias the trained weights": (twins, "twins", aliased, a_trained_model_passes),
    "twins are not retrained": (CoderRun, "_retrained", not_retrained, a_random_model_is_refused_by_its_twins),
    "controls with the wrong sign": (BetterByDocument, "update", flipped, a_trained_model_beats_frozen_atoms),
    "the frozen decoder is trained": (
        coder_run,
        "with_frozen_decoder",
        lambda recipe: replace(recipe),
        a_trained_model_beats_frozen_atoms,
    ),
}

CHECKS = list(dict.fromkeys(check for *_, check in MUTANTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_code_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, mutant, check = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    with pytest.raises((AssertionError, ValueError)):
        check()
