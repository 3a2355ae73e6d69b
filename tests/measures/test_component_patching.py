"""Component patching: what is known in a linear model, what it adds to direct effects, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import steering_linear

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures import attribute_difference, component_patching, patch_components
from interp_assert.models import wrap

from .small import gpt2, mamba

TARGET = (3, 7)
ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [2, 9, 4], [5, 1], [8, 6]]
LABELS = [0, 1, 1, 0, 1, 0]


def test_in_a_linear_model_a_component_has_its_own_effect_and_what_later_blocks_make_of_it() -> None:
    module = steering_linear.build(vocab=12)
    model = wrap(module, id="linear")
    found = patch_components(model, ROWS, LABELS, TARGET)
    labels = np.array(LABELS)
    x = module.embed.weight[[row[-1] for row in ROWS]].detach().double().numpy()
    mixers = [block.mix.weight.detach().double().numpy() for block in module.blocks]  # type: ignore[attr-defined]
    u = steering_linear.reader(module, steering_linear.BLOCKS, TARGET)
    expected, parts, after = [], [x], x
    for mixer in mixers:
        parts.append(after @ mixer.T)
        after = after + parts[-1]
    for place, part in enumerate(parts):
        difference = part[labels == 1].mean(0) - part[labels == 0].mean(0)
        for mixer in mixers[place:]:
            difference = difference + difference @ mixer.T
        expected.append(difference @ u)
    assert found.components == ("blocks.0.resid_pre", *(f"blocks.{i}.mlp.out" for i in range(3)))
    assert found.effects == pytest.approx(np.array(expected), abs=1e-5)
    direct = attribute_difference(model, ROWS, LABELS, TARGET)
    assert found.total == pytest.approx(direct.total, abs=1e-5)
    assert found.effects[0] == pytest.approx(found.total, abs=1e-5)  # everything is made of the embedding
    assert found.effects[-1] == pytest.approx(direct.effects[-1], abs=1e-5)  # after the last block nothing is
    assert abs(found.effects[1] - direct.effects[1]) > 1e-2


@pytest.mark.parametrize("make", [gpt2, mamba], ids=["gpt2", "mamba"])
def test_one_component_by_hand(make) -> None:
    model = make()
    found = patch_components(model, ROWS, LABELS, TARGET)
    site = found.components[-1]
    low = [row for row, label in zip(ROWS, LABELS, strict=True) if label == 0]
    mean = torch.stack([model.trace([row], [site])[site][0, -1] for row in low]).mean(0)

    def gap(row, **write):
        logits = model.trace([row], **write).logits[0, -1]
        return float(logits[TARGET[0]] - logits[TARGET[1]])

    def edit(out):
        return torch.cat([out[:, :-1], mean.expand(1, 1, -1)], 1)

    high = [row for row, label in zip(ROWS, LABELS, strict=True) if label == 1]
    expected = np.mean([gap(row) - gap(row, write={site: edit}) for row in high])
    assert found.effects[-1] == pytest.approx(expected, abs=1e-5)
    assert np.abs(found.effects).min() > 1e-7


def test_impossible_rows_and_logits_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = gpt2()
    with pytest.raises(UsageProblem, match="both classes, 0 and 1, needed"):
        patch_components(model, ROWS, [1] * 6, TARGET)
    with pytest.raises(ContextTooShort, match="use shorter texts"):
        patch_components(model, [[1] * 65, [2]], [0, 1], TARGET)
    monkeypatch.setattr(component_patching, "in_full", lambda logits: logits * float("nan"))
    with pytest.raises(NonFiniteMeasurement, match="not finite"):
        patch_components(model, ROWS, LABELS, TARGET)
