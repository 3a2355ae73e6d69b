"""The comparison with random-weight twins."""

from __future__ import annotations

import numpy as np
import pytest
from measures.small import gpt2

from interp_assert.controls import TwinScore, random_weights
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.models import Model
from interp_assert.stats import Outcome


def share(value: float, trials: int = 1000, clusters: int = 50) -> TwinScore:
    return TwinScore.proportion(value * trials, trials, np.full(clusters, value))


def compared(own: float, twins: list[float], **options: object):  # type: ignore[no-untyped-def]
    scores = iter(twins)
    return random_weights(gpt2(), share(own), lambda _: share(next(scores)), n=len(twins), **options)  # type: ignore[arg-type]


def test_out_of_reach_of_the_twins_passes_and_is_labelled_approximate() -> None:
    result = compared(0.6, [0.02, 0.03, 0.01, 0.02, 0.02])
    assert result.outcome is Outcome.PASS
    assert result.approximate
    assert result.required
    assert result.threshold is not None
    assert 0.03 < result.threshold < 0.6
    assert result.details["scheme"] == "resample"
    assert result.details["twin_scores"] == [0.02, 0.03, 0.01, 0.02, 0.02]


def test_as_good_as_a_twin_does_not_pass() -> None:
    assert compared(0.03, [0.02, 0.03, 0.01, 0.02, 0.02]).outcome is Outcome.INCONCLUSIVE
    assert compared(0.5, [0.02, 0.03, 0.51, 0.02, 0.02]).outcome is Outcome.INCONCLUSIVE


def test_worse_than_every_twin_fails() -> None:
    assert compared(0.01, [0.5, 0.5, 0.5, 0.5, 0.5]).outcome is Outcome.FAIL


def test_a_single_twin_is_advisory() -> None:
    result = compared(0.9, [0.01])
    assert result.outcome is Outcome.INCONCLUSIVE
    assert not result.required
    assert "advisory" in result.note


def test_twins_are_different_models_with_other_weights() -> None:
    model = gpt2()
    own = model.module.transformer.wte.weight
    seen: list[float] = []

    def measure(twin: Model) -> TwinScore:
        weight = twin.module.transformer.wte.weight
        assert weight.data_ptr() != own.data_ptr()
        seen.append(float(weight.sum()))
        return share(0.1)

    calls: list[int] = []
    random_weights(model, share(0.5), measure, n=3, each=calls.append)
    assert len({*seen, float(own.detach().sum())}) == 4
    assert calls == [0, 1, 2]


def test_twins_are_those_of_the_scheme_and_the_seed() -> None:
    def first(scheme: str, seed: int) -> float:
        sums: list[float] = []

        def measure(twin: Model) -> TwinScore:
            sums.append(float(twin.module.transformer.h[0].mlp.c_fc.weight.sum()))
            return share(0.1)

        random_weights(gpt2(), share(0.5), measure, scheme=scheme, n=2, seed=seed)
        return sums[0]

    assert first("resample", 0) == first("resample", 0)
    assert len({first("resample", 0), first("resample", 1), first("permute", 0), first("init", 0)}) == 4


def test_a_twin_that_cannot_be_measured_is_named_and_decides_nothing() -> None:
    def measure(twin: Model) -> TwinScore:
        if twin.id.endswith("#2"):
            raise NonFiniteMeasurement("logits are nan")
        return share(0.01)

    result = random_weights(gpt2(), share(0.9), measure, n=5)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.required
    assert "twin 2 cannot be measured: logits are nan" in result.note


def test_scores_without_any_spread_decide_nothing() -> None:
    result = random_weights(gpt2(), TwinScore.identity(1.0), lambda _: TwinScore.identity(0.0), n=3)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.required
    assert "no spread" in result.note


def test_where_no_error_is_known_the_twins_alone_show_the_spread() -> None:
    scores = iter([0.0, 1.0, 2.0, 1.0, 1.0])
    result = random_weights(gpt2(), TwinScore.identity(9.0), lambda _: TwinScore.identity(next(scores)), n=5)
    assert result.outcome is Outcome.PASS
    assert result.details["scale"] == "identity"
    assert result.threshold == pytest.approx(1.0 + 3.7469 * 0.5**0.5 * (6 / 5) ** 0.5, abs=1e-3)


def test_a_twin_on_another_scale_is_refused() -> None:
    with pytest.raises(UsageProblem, match="scale logit, a twin's on identity"):
        random_weights(gpt2(), share(0.5), lambda _: TwinScore.identity(0.5), n=2)


def test_lower_is_better_where_it_is_said_so() -> None:
    def compare(own: float, twins: list[float]) -> Outcome:
        scores = iter(twins)
        return random_weights(
            gpt2(), TwinScore.identity(own, lower=True), lambda _: TwinScore.identity(next(scores), lower=True), n=3
        ).outcome

    assert compare(1.0, [8.0, 8.1, 8.2]) is Outcome.PASS
    assert compare(20.0, [8.0, 8.1, 8.2]) is Outcome.FAIL


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(UsageProblem, match="sorcery"):
        compared(0.5, [0.1, 0.1], scheme="sorcery")
