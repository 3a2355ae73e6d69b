"""The recurrent modules of torch: ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``.

Not discoverable: one fused call makes all states, and hands out those of the last layer only.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []

CELLS: dict[str, Any] = {
    "LSTM": torch.lstm_cell,
    "GRU": torch.gru_cell,
    "RNN_TANH": torch.rnn_tanh_cell,
    "RNN_RELU": torch.rnn_relu_cell,
}


def _form(see: Any, module: Any, value: torch.Tensor, hx: Any = None) -> Any:
    """One position after another through all layers; the state is the layers' hidden values (and an LSTM's cells)."""
    if module.bidirectional or module.proj_size or not isinstance(value, torch.Tensor) or value.ndim != 3:
        return see.kernel(module, value, hx)
    steps = value.unbind(1 if module.batch_first else 0)
    lstm = module.mode == "LSTM"
    given = () if hx is None else (tuple(hx) if lstm else (hx,))
    zero = steps[0].new_zeros(module.num_layers, steps[0].shape[0], module.hidden_size)
    state = [part.transpose(0, 1) for part in given] or [zero.transpose(0, 1)] * (2 if lstm else 1)
    cell = CELLS[module.mode]
    out = []
    for step in steps:
        layers = []
        for number, weights in enumerate(module.all_weights):
            here = tuple(part[:, number] for part in state)
            biases = weights[2:] if module.bias else (None, None)
            made = cell(step, here if lstm else here[0], weights[0], weights[1], *biases)
            layers.append(made if lstm else (made,))
            step = layers[-1][0]
        packed = torch.stack([torch.stack(parts, 1) for parts in zip(*layers, strict=True)], 2)
        packed = see(packed[:, :, 0] if not lstm else packed)
        state = list(packed.unbind(2)) if lstm else [packed]
        out.append(state[0][:, -1])
    result = torch.stack(out, 1 if module.batch_first else 0)
    final = tuple(part.transpose(0, 1).contiguous() for part in state)
    return result, final if lstm else final[0]


for module, shape in (
    (torch.nn.RNN, "(batch, pos, layer, d_hidden)"),
    (torch.nn.GRU, "(batch, pos, layer, d_hidden)"),
    (torch.nn.LSTM, "(batch, pos, layer, hidden | cell, d_hidden)"),
):
    register_kernel(module.forward, shape=shape)(_form)
