"""What fitting probes costs, as a ratio to the usual way of doing it. Run with ``--benchmark-only``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interp_assert.measures.probes import STRENGTHS, ProbeScores, probe_scores
from interp_assert.stats import split_by_group
from interp_assert.stats.auroc import auroc

from .ratios import ratio_in_turns

LAYERS, WIDTH, EXAMPLES = 12, 768, 2000


def layer(seed: int, examples: int = EXAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Activations whose k-th direction has variance 1 / k, as directions of a residual stream about have, and labels
    that two hundred of them tell of, the more the higher the layer.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(examples) % 2
    turn, _ = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))
    deviation = np.arange(1, WIDTH + 1.0) ** -0.5
    direction = np.where((np.arange(WIDTH) >= 5) & (np.arange(WIDTH) < 200), rng.normal(size=WIDTH), 0.0)
    direction *= (0.5 + 0.25 * seed) / np.linalg.norm(direction)
    values = (rng.normal(size=(examples, WIDTH)) + (labels[:, None] - 0.5) * direction) * deviation
    return (values @ turn * rng.lognormal(0.0, 0.5, WIDTH)).astype(np.float32), labels


@pytest.mark.parametrize(("examples", "layers", "rounds"), [(EXAMPLES, LAYERS, 9), (5714, 4, 1)])
def test_probes_at_all_layers(benchmark: Any, examples: int, layers: int, rounds: int) -> None:
    """At least 5 times as fast as scikit-learn layer by layer: the same parts, standardisation, penalties and choice.

    The AUROC at each layer is the same to .001. Both stop within 7e-5 of the least loss. Of 2,000 examples
    700 are the training part; so there is a case of four layers with 2,000 in it.
    """
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    made = [layer(seed, examples) for seed in range(layers)]
    features, labels = {f"blocks.{i}.resid_post": values for i, (values, _) in enumerate(made)}, made[0][1]
    split = split_by_group(labels, [str(i) for i in range(examples)])

    def one_by_one() -> list[float]:
        found = []
        for values in features.values():
            scaler = preprocessing.StandardScaler().fit(values[split.train])
            x = {part: scaler.transform(values[getattr(split, part)]) for part in ("train", "select", "test")}
            fits = [
                linear_model.LogisticRegression(C=strength, max_iter=5000).fit(x["train"], labels[split.train])
                for strength in STRENGTHS
            ]
            best = max(fits, key=lambda fit: auroc(fit.decision_function(x["select"]), labels[split.select]))
            found.append(auroc(best.decision_function(x["test"]), labels[split.test]))
        return found

    def together() -> ProbeScores:
        return probe_scores(features, labels, split)

    difference = float(np.abs(together().test - one_by_one()).max())
    ratio, facts = ratio_in_turns(one_by_one, together, rounds=rounds)
    benchmark.extra_info.update(
        facts, auroc_difference=difference, train=len(split.train), threads=1, device="cpu", dtype="float32"
    )
    benchmark.pedantic(together, rounds=2, warmup_rounds=0)
    assert difference <= 1e-3
    assert ratio >= 5, facts
