"""The sparse products against the naive ones, gradients included."""

from __future__ import annotations

import pytest
import torch

from interp_assert.coders.codes import DenseCode, SparseCode
from interp_assert.coders.sparse import encode_topk, sparse_decode

N, D, F, K = 40, 12, 30, 4


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {
        "x": torch.randn(N, D, generator=generator, dtype=torch.float64),
        "W_enc": torch.randn(F, D, generator=generator, dtype=torch.float64),
        "b_enc": torch.randn(F, generator=generator, dtype=torch.float64) - 1.5,
        "W_dec": torch.randn(F, D, generator=generator, dtype=torch.float64),
    }
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def naive(t: dict[str, torch.Tensor], among: torch.Tensor | None = None, k_among: int = 0) -> torch.Tensor:
    """Through a dense code."""
    before = t["x"] @ t["W_enc"].T + t["b_enc"]
    kept, index = before.topk(K, -1)
    code = torch.zeros_like(before).scatter(-1, index, kept.relu())
    if among is not None:
        kept, index = before.masked_fill(~among, -torch.inf).topk(k_among, -1)
        code = code + 3.0 * torch.zeros_like(before).scatter(-1, index, kept.relu())
    return code @ t["W_dec"]


def sparse(t: dict[str, torch.Tensor], among: torch.Tensor | None = None, k_among: int = 0) -> torch.Tensor:
    index, value, index_among, value_among = encode_topk(
        t["x"], t["W_enc"], t["b_enc"], K, among=among, k_among=k_among
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


def test_a_latent_that_is_cut_by_the_relu_gets_no_gradient(tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        tensors["b_enc"].fill_(-100.0)
    out = sparse(tensors)
    assert not out.any()
    gradient = torch.autograd.grad(out.sum(), tensors["W_enc"])[0]
    assert not gradient.any()


def test_no_dense_code_is_made() -> None:
    """Decoding a code of 64 vectors over 2 million latents, which would be half a gigabyte if it were dense."""
    latents = 2_000_000
    index = torch.randint(latents, (64, 8), generator=torch.Generator().manual_seed(0))
    weight = torch.zeros(1, 1).expand(latents, 1).contiguous()
    code = SparseCode(index, torch.ones(64, 8), latents)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        sparse_decode(code.index, code.value, weight)
    assert max(event.cpu_memory_usage for event in profile.key_averages()) < 100_000


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
