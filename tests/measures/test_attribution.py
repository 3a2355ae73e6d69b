"""Difference-in-means attribution: every part as it is known in a linear model, and nothing lost on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles import steering_linear

from interp_assert.errors import ContextTooShort, UsageProblem
from interp_assert.measures.attribution import NotLinear, attribute_difference
from interp_assert.models import Model, wrap

from .small import gemma2, gpt2, mamba

TARGET = (3, 7)
ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [2, 9, 4], [5, 1], [8, 6]]
LABELS = [0, 1, 1, 0, 1, 0]


def difference(values: np.ndarray) -> np.ndarray:
    labels = np.array(LABELS)
    return np.asarray(values[labels == 1].mean(0) - values[labels == 0].mean(0))


def gaps(model: Model) -> np.ndarray:
    read = [model.trace([row]).logits[0, -1].double() for row in ROWS]
    return np.array([float(logits[TARGET[0]] - logits[TARGET[1]]) for logits in read])


def test_in_a_linear_model_every_part_is_the_known_one() -> None:
    module = steering_linear.build(vocab=12)
    found = attribute_difference(wrap(module, id="linear"), ROWS, LABELS, TARGET)
    u = steering_linear.reader(module, steering_linear.BLOCKS, TARGET)
    x = module.embed.weight[[row[-1] for row in ROWS]].double().numpy()
    expected = [difference(x) @ u]
    for block in module.blocks:  # type: ignore[attr-defined]
        added = x @ block.mix.weight.double().numpy().T
        expected.append(difference(added) @ u)
        x = x + added
    assert found.components == ("blocks.0.resid_pre", *(f"blocks.{i}.mlp.out" for i in range(3)))
    assert found.effects == pytest.approx(np.array(expected), abs=1e-5)
    assert np.abs(expected).min() > 0.01  # a part that is nothing would show nothing
    assert found.left == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("make", [gpt2, mamba, lambda: gemma2(cap=None)], ids=["gpt2", "mamba", "gemma2"])
def test_the_parts_sum_to_the_difference_of_the_classes(make: Callable[[], Model]) -> None:
    model = make()
    found = attribute_difference(model, ROWS, LABELS, TARGET)
    assert found.total == pytest.approx(float(difference(gaps(model))), abs=1e-5)
    assert found.effects.sum() == pytest.approx(found.total, abs=1e-4)
    assert np.abs(found.effects).min() > 1e-6
    kinds = 1 if model.id == "random-mamba" else 2
    assert len(found.components) == 1 + kinds * model.anatomy.n_blocks


def test_a_layer_norm_is_centred_and_its_scale_is_that_of_each_text() -> None:
    model = gpt2()
    module = model.module
    with torch.no_grad():
        module.transformer.ln_f.weight.mul_(torch.linspace(0.5, 2.0, 32))  # type: ignore[union-attr,operator]
        module.transformer.ln_f.bias.add_(0.3)  # type: ignore[union-attr,operator]
    found = attribute_difference(model, ROWS, LABELS, TARGET)
    gain = module.transformer.ln_f.weight.double().detach().numpy()  # type: ignore[union-attr]
    heads = module.lm_head.weight.double().detach().numpy()  # type: ignore[union-attr]
    u = heads[TARGET[0]] - heads[TARGET[1]]
    written = []
    for row in ROWS:
        read = model.trace([row], ["blocks.1.mlp.out", "blocks.1.resid_post"])
        out, end = (read[f"blocks.1.{name}"][0, -1].double().numpy() for name in ("mlp.out", "resid_post"))
        written.append((out - out.mean()) * gain / np.sqrt(end.var() + 1e-5) @ u)
    assert found.effects[found.components.index("blocks.1.mlp.out")] == pytest.approx(
        float(difference(np.array(written))), abs=1e-4
    )


def test_what_a_soft_cap_bends_is_left() -> None:
    found = attribute_difference(gemma2(cap=0.5), ROWS, LABELS, TARGET)
    assert abs(found.left) > 1e-3
    assert found.left == pytest.approx(found.total - found.effects.sum())


def test_a_norm_of_another_kind_is_named() -> None:
    class Squashed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.norm(x))

    module = gpt2().module
    module.transformer.ln_f = Squashed()  # type: ignore[union-attr]
    with pytest.raises(NotLinear):
        attribute_difference(wrap(module, id="squashed"), ROWS, LABELS, TARGET)


def test_impossible_rows_are_refused() -> None:
    model = gpt2()
    with pytest.raises(UsageProblem, match="both classes, 0 and 1, needed"):
        attribute_difference(model, ROWS, [1] * 6, TARGET)
    with pytest.raises(ContextTooShort, match="use shorter texts"):
        attribute_difference(model, [[1] * 65, [2]], [0, 1], TARGET)
