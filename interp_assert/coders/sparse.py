"""Products with codes of which few entries are not zero: time and memory go with those entries, not with the latents.

A code of n vectors is ``index`` and ``value`` (n, k): which latents are active, and how much. No dense (n, latents)
code is ever made; pre-activations, which are dense, are made of some rows at a time, and only the k largest of each row
are kept. The
gradient of a weight matrix is a sum of rows by latent, which ``embedding_bag`` computes as fast forwards as backwards
(the same idea, in Triton: EleutherAI/sparsify).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import embedding_bag

__all__ = ["by_latent", "encode_topk", "largest", "sparse_decode", "sum_by_latent"]

_GROUP = 8

_HELD = {"cpu": 2**22, "accelerator": 2**27}
"""pre-activations that are there at once: few enough that they are in the cache still when the largest are sought"""


def sparse_decode(index: torch.Tensor, value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """sum_j value[:, j] * weight[index[:, j]]: (n, k), (n, k), (latents, d) -> (n, d); differentiable in value and
    weight."""
    decoded: torch.Tensor = _SparseDecode.apply(index, value, weight)
    return decoded


def encode_topk(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    k: int,
    *,
    shift: torch.Tensor | None = None,
    among: torch.Tensor | None = None,
    k_among: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k largest entries of relu((x - shift) weight^T + bias) in each row, and the ``k_among`` largest among the
    latents that the mask ``among`` (latents,) names.

    (n, d), (latents, d), (latents,) -> index (n, k), value (n, k), and the same of those among the mask (of width 0
    without one). An entry that the ReLU cuts has value 0. Differentiable in x, shift, weight and bias.
    """
    coded: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] = _EncodeTopK.apply(
        x, shift, weight, bias, k, among, k_among
    )
    return coded


def largest(x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest entries of each row (n, latents), as ``topk`` gives them, in no order: values and places (n, k).

    Latents are taken in groups of eight. The k largest entries are in the k groups with the largest maxima: any other
    group has k entries above it. So only those groups are searched, which takes half the time.
    """
    latents = x.shape[-1]
    groups = latents // _GROUP
    if latents % _GROUP or groups < 2 * k:
        return x.topk(k, dim=-1, sorted=False)
    best = x.view(len(x), _GROUP, groups).amax(1).topk(k, dim=-1, sorted=False).indices
    among = (best[:, None, :] + torch.arange(0, latents, groups, device=x.device)[:, None]).flatten(1)
    value, place = x.gather(-1, among).topk(k, dim=-1, sorted=False)
    return value, among.gather(-1, place)


def by_latent(index: torch.Tensor, latents: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The entries of ``index`` (n, k) sorted by latent: (row of each, where each latent's begin, their order)."""
    flat = index.reshape(-1)
    order = torch.argsort(flat, stable=True)
    counts = torch.bincount(flat, minlength=latents)
    return order // index.shape[1], counts.cumsum(0) - counts, order


def sum_by_latent(
    rows: torch.Tensor, value: torch.Tensor, sorted_entries: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """sum over the entries (t, j) of each latent of value[t, j] * rows[t]: (n, d), (n, k) -> (latents, d)."""
    row, begins, order = sorted_entries
    return embedding_bag(row, rows, begins, per_sample_weights=value.reshape(-1)[order], mode="sum")


class _SparseDecode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, index: torch.Tensor, value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index, value, weight)
        # detached, or it would keep for its own backward what is computed anew here
        return embedding_bag(index, weight.detach(), per_sample_weights=value.detach(), mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor | None, torch.Tensor | None]:
        index, value, weight = ctx.saved_tensors
        [gradient] = gradients
        for_value = for_weight = None
        if ctx.needs_input_grad[1]:
            for_value = _dots(gradient.contiguous(), weight, index)
        if ctx.needs_input_grad[2]:
            for_weight = sum_by_latent(gradient.contiguous(), value, by_latent(index, len(weight)))
        return None, for_value, for_weight


class _EncodeTopK(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        shift: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,
        k: int,
        among: torch.Tensor | None,
        k_among: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        x = x if shift is None else x - shift
        rows = max(1, _HELD["cpu" if x.device.type == "cpu" else "accelerator"] // len(weight))
        parts = [_chosen(part, weight, bias, k, among, k_among) for part in x.split(rows)]
        index, value, index_among, value_among = (torch.cat(each) for each in zip(*parts, strict=True))
        ctx.save_for_backward(x, weight, index, value, index_among, value_among)
        ctx.mark_non_differentiable(index, index_among)
        return index, value, index_among, value_among

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, index, value, index_among, value_among = ctx.saved_tensors
        both = torch.cat([index, index_among], -1)
        active = torch.cat([value, value_among], -1) > 0
        passed = torch.where(active, torch.cat([gradients[1], gradients[3]], -1), 0.0)
        for_x = for_shift = for_weight = None
        for_bias = passed.new_zeros(len(weight)).index_add_(0, both.reshape(-1), passed.reshape(-1))
        if ctx.needs_input_grad[0]:
            for_x = embedding_bag(both, weight, per_sample_weights=passed, mode="sum")
        if ctx.needs_input_grad[1]:
            for_shift = -(for_bias @ weight)
        if ctx.needs_input_grad[2]:
            for_weight = sum_by_latent(x, passed, by_latent(both, len(weight)))
        return for_x, for_shift, for_weight, for_bias, None, None, None


def _chosen(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, k: int, among: torch.Tensor | None, k_among: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """``encode_topk`` of so few rows that their pre-activations may be there all at once."""
    before = (x @ weight.T).add_(bias)  # addmm would first copy the bias over the whole of it
    value, index = largest(before, k)
    if among is None or k_among == 0:
        return index, value.relu_(), index.new_zeros(len(x), 0), value.new_zeros(len(x), 0)
    value_among, index_among = before.masked_fill_(~among, -torch.inf).topk(k_among, dim=-1, sorted=False)
    return index, value.relu_(), index_among, value_among.relu_()


def _dots(rows: torch.Tensor, weight: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """rows[t] . weight[index[t, j]]: (n, d), (latents, d), (n, k) -> (n, k), without gathering (n, k, d)."""
    n, k = index.shape
    begins = torch.arange(0, n * k, k, device=index.device)
    owner = torch.arange(n, device=index.device).repeat_interleave(k)
    sums = 0  # the mode, as embedding_bag numbers it
    dots: torch.Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        rows, weight, index.reshape(-1), begins, owner, sums
    )
    return dots.view(n, k)
