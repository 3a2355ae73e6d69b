"""RWKV-7 as the package ``rwkv`` carries it out, in a process of its own: the package is set up by environment
variables and changes torch's global settings when it is imported.

Run as ``python rwkv7_package.py WEIGHTS.pth ROWS.pt OUT.pt``: for every row of ids, logits (pos, vocab) in one pass
over the sequence and token by token, and the recurrent states (pos, layer, head, value, key) of the latter.
"""

from __future__ import annotations

import os
import sys

SETTINGS = {"RWKV_V7_ON": "1", "RWKV_JIT_ON": "1", "RWKV_CUDA_ON": "0"}


def main(weights: str, rows: str, out: str) -> None:
    os.environ.update(SETTINGS)
    import torch
    from rwkv.model import RWKV

    model = RWKV(model=weights.removesuffix(".pth"), strategy="cpu fp32")
    found = []
    for row in torch.load(rows).tolist():
        whole, _ = model.forward(row, None, full_output=True)
        state, steps, states = None, [], []
        for token in row:
            logits, state = model.forward(token, state)
            steps.append(logits.clone())
            states.append(torch.stack(state[1::3]))
        found.append({"sequence": whole, "stepwise": torch.stack(steps), "states": torch.stack(states)})
    torch.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
