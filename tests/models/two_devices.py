"""A program for a process of its own: a model spread over two devices that compute nothing, but know where tensors are.

There is no second device on most machines. torch's fake tensors have a device and a shape, and an operation on two of
different devices is an error, as it is on real ones. Every site is read, written and differentiated.
"""

from __future__ import annotations

import copy
import sys

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from interp_assert.models import edits, wrap
from interp_assert.models.running import trace_module
from interp_assert.models.weights import placement

from . import tiny

HOME, AWAY = torch.device("privateuseone:0"), torch.device("privateuseone:1")


def on_two_devices(plain: torch.nn.Module, mode: FakeTensorMode) -> torch.nn.Module:
    """The embeddings and block 0 on one device, everything after them on the other, with accelerate's hooks."""
    module = copy.deepcopy(plain)
    first = ("model.embed_tokens", "model.rotary_emb", "model.layers.0")
    for path, part in module.named_modules():
        device = HOME if path == "" or path.startswith(first) else AWAY
        with mode:
            for name, parameter in part.named_parameters(recurse=False):
                fake = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                setattr(part, name, torch.nn.Parameter(fake, requires_grad=False))
            for name, buffer in part.named_buffers(recurse=False):
                setattr(part, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))
        if path in ("", "lm_head") or not path.endswith(("model", "layers")):
            add_hook_to_module(part, AlignDevicesHook(execution_device=device, io_same_device=path == ""))
    return module


def main(architecture: str) -> None:
    _setup_privateuseone_for_python_backend()
    model = wrap(tiny.build(architecture))
    mode = FakeTensorMode()
    edits._refuse_not_finite = lambda *_: None  # fake values are not even NaN
    module = on_two_devices(model.module, mode)
    anatomy = model.anatomy.rebind(module)
    assert set(placement.places(module)) == {str(HOME), str(AWAY)}
    assert placement.home(module) == HOME
    with mode:
        ids = torch.zeros(2, 12, dtype=torch.long, device=HOME)
        for site in anatomy.sites:
            if site.startswith(("blocks.0.attn", "blocks.2.")):
                continue
            seen: list[torch.device] = []
            write = {site: [edits.scale(2.0), lambda value, seen=seen: (seen.append(value.device), value)[1]]}
            values, logits = trace_module(module, anatomy, ids, [site], write, None, logits=True)
            assert logits is not None
            assert {values[site].device, logits.device, *seen} == {HOME}, site
            read, _ = trace_module(module, anatomy, ids, [site], {}, None, logits=True, grad=True)
            assert read[site].device == HOME, site
        assert anatomy.unembed(torch.zeros(2, 3, tiny.D, device=HOME)).device == HOME
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
