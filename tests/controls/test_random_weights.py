"""The comparison with random-weight twins."""

from __future__ import annotations

import numpy as np
import pytest
from measures.small import gpt2

from interp_assert.controls import Share, random_weights
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.models import Model
from interp_assert.stats import Outcome


def share(value: float, trials: int = 1000, clusters: int = 50) -> Share:
    return Share(hits=value * trials, trials=trials, by_cluster=np.full(clusters, value))


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

    def measure(twin: Model) -> Share:
        weight = twin.module.transformer.wte.weight
        assert weight.data_ptr() != own.data_ptr()
        seen.append(float(weight.sum()))
        return share(0.1)

    calls: list[int] = []
    random_weights(model, share(0.5), measure, n=3, each=calls.append)
    assert len({*seen, float(own.detach().sum())}) == 4
    assert calls == [0, 1, 2]


def test_a_twin_that_cannot_be_measured_is_named_and_decides_nothing() -> None:
    def measure(twin: Model) -> Share:
        if twin.id.endswith("#2"):
            raise NonFiniteMeasurement("logits are nan")
        return share(0.01)

    result = random_weights(gpt2(), share(0.9), measure, n=5)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.required
    assert "twin 2 cannot be measured: logits are nan" in result.note


def test_clusters_that_differ_more_than_trials_widen_the_error() -> None:
    even = Share(500.0, 1000, np.full(50, 0.5))
    uneven = Share(500.0, 1000, np.array([0.0, 1.0] * 25))
    assert even.on_logit_scale()[0] == uneven.on_logit_scale()[0]
    assert uneven.on_logit_scale()[1] > 4 * even.on_logit_scale()[1]


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(UsageProblem, match="sorcery"):
        compared(0.5, [0.1, 0.1], scheme="sorcery")
