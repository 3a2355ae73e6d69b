"""What training a sparse coder costs over its bare matrix products, as a ratio within one run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from coders.readers import stream_of
from torch.nn.functional import embedding_bag

from interp_assert.coders import fit_coders, recipe_for
from interp_assert.coders.sparse import by_latent

from .ratios import ratio_in_turns

D, F, K = 768, 8192, 32
STEPS = 4
"""few, so that first weights, which many steps would share, weigh more than they do in a training"""


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(4096, D, generator=torch.Generator().manual_seed(0))


def test_training_a_topk_coder(benchmark: Any, vectors: torch.Tensor) -> None:
    """At most twice its bare products: pre-activations, which are dense, and the sums over active latents for the
    reconstruction and for the gradients of code, decoder and encoder. All else is on top of that: choosing the k
    largest, Adam, unit rows, drawing batches, first weights. (Between 1.6 and 1.8 when this was written, on a machine
    that others used.)
    """
    stream = stream_of(vectors, per_document=512)
    recipe = recipe_for(D, d_sae=F, k=K, steps=STEPS)
    x = vectors[: recipe.batch]
    weight = torch.randn(F, D, generator=torch.Generator().manual_seed(1)) * 0.03
    value, index = (x @ weight.T).topk(K, -1)
    row, begins, order = by_latent(index, F)
    sorted_value = value.flatten()[order]

    def bare() -> None:
        for _ in range(STEPS):
            x @ weight.T
            embedding_bag(index, weight, per_sample_weights=value, mode="sum")  # reconstruction
            embedding_bag(index, weight, per_sample_weights=value, mode="sum")  # as many products: gradient of the code
            embedding_bag(row, x, begins, per_sample_weights=sorted_value, mode="sum")  # gradient of the decoder
            embedding_bag(row, x, begins, per_sample_weights=sorted_value, mode="sum")  # gradient of the encoder

    def dense() -> None:
        """What a coder with dense codes multiplies: two products forwards, three backwards."""
        code = x @ weight.T
        for _ in range(2):
            code @ weight
            code.T @ x

    def trained() -> Any:
        return fit_coders(stream, [recipe])

    ratio, facts = ratio_in_turns(trained, bare, rounds=4)
    to_dense = ratio_in_turns(trained, dense, rounds=1)[0] / STEPS
    benchmark.extra_info.update(
        facts,
        batch=recipe.batch,
        ratio_to_dense_products=round(to_dense, 3),
        threads=1,
        device="cpu",
        dtype="float32",
    )
    benchmark.pedantic(trained, rounds=1, warmup_rounds=0)
    assert ratio <= 2.0, facts
    assert to_dense < 1.0
