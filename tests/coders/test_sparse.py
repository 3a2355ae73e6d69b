"""The sparse products against the naive ones, gradients included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from interp_assert.coders import recipe_for
from interp_assert.coders.codes import DenseCode, SparseCode
from interp_assert.coders.sparse import encode_topk, largest, sparse_decode
from interp_assert.coders.topk import TopKCoder

N, D, F, K = 40, 12, 30, 4


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {
        "x": torch.randn(N, D, generator=generator, dtype=torch.float64),
        "W_enc": torch.randn(F, D, generator=generator, dtype=torch.float64),
        "b_enc": torch.randn(F, generator=generator, dtype=torch.float64) - 1.5,
        "shift": torch.randn(D, generator=generator, dtype=torch.float64),
        "W_dec": torch.randn(F, D, generator=generator, dtype=torch.float64),
    }
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def naive(t: dict[str, torch.Tensor], among: torch.Tensor | None = None, k_among: int = 0) -> torch.Tensor:
    """Through a dense code."""
    before = (t["x"] - t["shift"]) @ t["W_enc"].T + t["b_enc"]
    kept, index = before.topk(K, -1)
    code = torch.zeros_like(before).scatter(-1, index, kept.relu())
    if among is not None:
        kept, index = before.masked_fill(~among, -torch.inf).topk(k_among, -1)
        code = code + 3.0 * torch.zeros_like(before).scatter(-1, index, kept.relu())
    return code @ t["W_dec"]


def sparse(t: dict[str, torch.Tensor], among: torch.Tensor | None = None, k_among: int = 0) -> torch.Tensor:
    index, value, index_among, value_among = encode_topk(
        t["x"], t["W_enc"], t["b_enc"], K, shift=t["shift"], among=among, k_among=k_among
    )
    decoded = sparse_decode(index, value, t["W_dec"])
    return decoded if among is None else decoded + 3.0 * sparse_decode(index_among, value_among, t["W_dec"])


@pytest.mark.parametrize("dead", [False, True])
def test_values_and_gradients_are_the_naive_ones(tensors: dict[str, torch.Tensor], dead: bool) -> None:
    among = torch.arange(F) % 3 == 0 if dead else None
    weights = torch.randn(N, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for run in (naive, sparse):
        out = run(tensors, among, 5 if dead else 0)
        gradients = torch.autograd.grad((out * weights).sum() + out.square().sum(), list(tensors.values()))
        results.append((out.detach(), *gradients))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("latents", "k"), [(256, 8), (256, 20), (250, 8), (64, 1), (2048, 32)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_largest_are_those_of_topk(latents: int, k: int, ties: bool) -> None:
    x = torch.randn(300, latents, generator=torch.Generator().manual_seed(latents + k))
    x = (3 * x).round() if ties else x
    value, index = largest(x, k)
    assert torch.equal(value.sort(-1).values, x.topk(k, -1).values.sort(-1).values)
    assert torch.equal(x.gather(-1, index), value)
    assert all(len(set(row)) == k for row in index.tolist())


def test_what_is_not_finite_is_not_lost() -> None:
    x = torch.randn(4, 256)
    x[2, 77] = float("nan")
    assert largest(x, 8)[0][2].isnan().any()


def test_a_latent_that_is_cut_by_the_relu_gets_no_gradient(tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        tensors["b_enc"].fill_(-100.0)
    out = sparse(tensors)
    assert not out.any()
    gradient = torch.autograd.grad(out.sum(), tensors["W_enc"])[0]
    assert not gradient.any()


class Sizes(TorchDispatchMode):
    """Remembers the largest tensor that any operation gives."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for value in given if isinstance(given, (tuple, list)) else (given,):
            if isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.numel())
        return given


@pytest.mark.parametrize("dead", [False, True])
def test_no_dense_code_is_made(dead: bool) -> None:
    """Of 4,096 vectors on 4,096 latents a dense code has 16.8 million entries, a sparse one 16,384."""
    coder = TopKCoder((8,), 4096, 4)
    with torch.no_grad():
        for parameter in coder.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(4096, 8, generator=torch.Generator().manual_seed(1))
    with Sizes() as sizes:
        coder.loss(x, x, torch.full((4096,), dead), recipe_for(8, d_sae=4096, k=4)).loss.backward()
        coder.decode(coder.encode(x))
    assert coder.W_enc.grad is not None
    assert sizes.largest == 2**22  # pre-activations, of a quarter of the vectors at a time


def test_codes_count_alike() -> None:
    index = torch.tensor([[0, 3], [3, 1]])
    value = torch.tensor([[1.0, 2.0], [0.5, 0.0]])
    sparse_code = SparseCode(index, value, 5)
    dense = DenseCode(sparse_code.dense())
    assert dense.value.tolist() == [[1, 0, 0, 2, 0], [0, 0, 0, 0.5, 0]]
    for code in (sparse_code, dense):
        assert code.active() == 3
        assert code.firings().tolist() == [1, 0, 0, 2, 0]
        assert code.d_sae == 5
