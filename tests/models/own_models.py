"""Language models that are no models of transformers, as people write them: a GRU, stacks of hand-written blocks and
of torch's own layers, and forwards of every habit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

VOCAB, D, LAYERS, HEADS, CONTEXT = 60, 32, 3, 4, 48


class GRULanguageModel(nn.Module):
    """Embedding, ``layers`` GRUs in a row, norm, unembedding."""

    def __init__(self, vocab_size: int = VOCAB, width: int = D, layers: int = LAYERS) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.recurrences = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.unembed = nn.Linear(width, vocab_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        stream = self.embed(ids)
        for recurrence in self.recurrences:
            stream, _ = recurrence(stream)
        return self.unembed(self.norm(stream))


class RecurrentModel(nn.Module):
    """One recurrent module of torch with ``layers`` layers inside, and a narrower embedding."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 2, *, batch_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, D // 2)
        self.recurrence = kind(D // 2, D, num_layers=layers, batch_first=batch_first)  # type: ignore[call-arg,arg-type]
        self.unembed = nn.Linear(D, VOCAB)
        self.batch_first = batch_first

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, Any]:
        embedded = self.embed(ids if self.batch_first else ids.T)
        out, state = self.recurrence(embedded)
        return self.unembed(out if self.batch_first else out.transpose(0, 1)), state


class HandMadeBlock(nn.Module):
    """Causal attention and an MLP written with plain functions; ``parallel``: both read the same residual."""

    def __init__(self, width: int = D, heads: int = HEADS, parallel: bool = False) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wqkv, self.wo = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.heads, self.parallel = heads, parallel

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.wqkv(x).split(width, dim=-1)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        hidden = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        return self.wo((pattern @ v).transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x + self.attend(self.n1(x))
        return middle + self.down(F.gelu(self.up(self.n2(x if self.parallel else middle))))


class FunctionalMLP(nn.Module):
    """Both matrices of the MLP in one module, multiplied by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.w_in, self.w_out = nn.Parameter(torch.randn(D, 2 * D) / 8), nn.Parameter(torch.randn(2 * D, D) / 8)
        self.b_out = nn.Parameter(torch.randn(D) / 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x @ self.w_in) @ self.w_out + self.b_out


class FunctionalBlock(HandMadeBlock):
    """A hand-made block whose MLP is one module of functions."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = FunctionalMLP()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x + self.attend(self.n1(x))
        return middle + self.mlp(self.n2(middle))


class TorchAttentionBlock(nn.Module):
    """``nn.MultiheadAttention`` and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.attention = nn.MultiheadAttention(D, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(D, 2 * D), nn.ReLU(), nn.Linear(2 * D, D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.n1(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        x = x + self.attention(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.n2(x))


class Stack(nn.Module):
    """Token and position embeddings, ``.blocks``, norm, unembedding."""

    def __init__(self, blocks: Any, vocab_size: int = VOCAB) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, D)
        self.places = nn.Parameter(torch.randn(CONTEXT, D))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(D)
        self.unembed = nn.Linear(D, vocab_size, bias=False)

    def forward(self, ids: torch.Tensor) -> Any:
        x = self.tokens(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.norm(x))


class TorchEncoder(nn.Module):
    """``nn.TransformerEncoder`` under a causal mask, positions looked up in an embedding."""

    def __init__(self, *, norm_first: bool = True, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(D, HEADS, 2 * D, dropout=0.1, norm_first=norm_first, batch_first=batch_first)
        self.tokens, self.places = nn.Embedding(VOCAB, D), nn.Embedding(CONTEXT, D)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.unembed = nn.Linear(D, VOCAB)
        self.batch_first = batch_first

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        x = self.tokens(ids) + self.places(torch.arange(length, device=ids.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=ids.device)
        if self.batch_first:
            return self.unembed(self.encoder(x, mask=mask, is_causal=True))
        return self.unembed(self.encoder(x.transpose(0, 1), mask=mask)).transpose(0, 1)


@dataclass
class Output:
    hidden: torch.Tensor
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class NamedOutput(NamedTuple):
    hidden: torch.Tensor
    logits: torch.Tensor


class Returning(nn.Module):
    """A stack whose forward returns what ``form`` makes of (hidden, logits)."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.stack, self.form = Stack([HandMadeBlock()]), form

    def forward(self, ids: torch.Tensor) -> Any:
        logits = self.stack(ids)
        return self.form(logits[..., :D] * 2, logits)


def build(make: Any, seed: int = 0) -> Any:
    """A seeded model in eval mode, the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def stack(kind: Any = HandMadeBlock, count: int = LAYERS, **options: Any) -> Stack:
    return Stack([kind(**options) for _ in range(count)])


class Opaque(nn.Module):
    """A model without modules to hook: weights in a list, everything by functions; it shows its streams itself."""

    def __init__(self, future: bool = False) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(VOCAB, D))
        self.layers = nn.ParameterList(nn.Parameter(torch.randn(D, D) / D**0.5) for _ in range(LAYERS))
        self.gain = nn.Parameter(torch.rand(D) + 0.5)
        self.future = future

    def get_hidden_states(self, ids: torch.Tensor) -> list[torch.Tensor]:
        streams = [F.one_hot(ids, VOCAB).to(self.table) @ self.table]
        for weight in self.layers:
            so_far = streams[-1].cumsum(1)
            if self.future and len(streams) == 2:
                so_far = so_far.flip(1)
            streams.append(streams[-1] + torch.tanh(so_far @ weight))
        return streams

    def read_out(self, residual: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(residual, (D,), self.gain) @ self.table.T

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.read_out(self.get_hidden_states(ids)[-1])
