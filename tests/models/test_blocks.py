"""Which modules are the blocks: stacks in turns, side networks beside them, blocks kept in several lists."""

from __future__ import annotations

import torch
from torch import nn

from interp_assert.models import wrap

VOCAB, D, DEPTH = 50, 16, 3


class Block(nn.Module):
    """A causal mean and an MLP, both added to the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(D), nn.Linear(D, D)
        self.mlp = nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 24), nn.GELU(), nn.Linear(24, D))

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        counts = torch.arange(1, stream.shape[1] + 1).view(1, -1, 1)
        stream = stream + self.mix(self.norm(stream).cumsum(1) / counts)
        return stream + self.mlp(stream)


class Rung(nn.Module):
    """A block of a narrow network beside the stack, which reads the stream and writes back at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.mlp = nn.Linear(D, D), nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, D))

    def forward(self, side: torch.Tensor, stream: torch.Tensor) -> torch.Tensor:
        return side + self.mlp(side + self.down(stream))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, D)
        self.build()
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, VOCAB)

    def build(self) -> None:
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))

    def stack(self, stream: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            stream = block(stream)
        return stream

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.stack(self.embed(ids))))


class Laddered(Model):
    def build(self) -> None:
        super().build()
        self.rungs = nn.ModuleList(Rung() for _ in range(DEPTH))

    def stack(self, stream: torch.Tensor) -> torch.Tensor:
        side = torch.zeros_like(stream)
        for rung, block in zip(self.rungs, self.blocks, strict=True):
            side = rung(side, stream)
            stream = block(stream)
        return stream + side.detach() * 0


class InTurns(Model):
    """Two stacks, a fast one that runs twice for every run of the slow one."""

    def build(self) -> None:
        self.fast = nn.ModuleList(Block() for _ in range(2))
        self.slow = nn.ModuleList(Block() for _ in range(2))

    def stack(self, stream: torch.Tensor) -> torch.Tensor:
        for _cycle in range(2):
            state = stream
            for block in [*self.fast, *self.fast]:
                state = block(state)
            stream = stream + state
            for block in self.slow:
                stream = block(stream)
        return stream


class Apart(Model):
    """The parts of its blocks in lists of their own; the sums are the model's."""

    def build(self) -> None:
        self.mixers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(D), nn.GRU(D, D, batch_first=True)) for _ in range(DEPTH)
        )
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 24), nn.GELU(), nn.Linear(24, D)) for _ in range(DEPTH)
        )

    def stack(self, stream: torch.Tensor) -> torch.Tensor:
        for mixer, mlp in zip(self.mixers, self.mlps, strict=True):
            stream = stream + mixer(stream)[0]
            stream = stream + mlp(stream)
        return stream


def paths(module: Model) -> list[str]:
    torch.manual_seed(0)
    return [block.path for block in wrap(module.eval()).anatomy.blocks]


def test_a_side_network_is_no_part_of_the_stack() -> None:
    assert paths(Laddered()) == [f"blocks.{i}" for i in range(DEPTH)]


def test_stacks_of_the_same_blocks_that_run_in_turns_are_one() -> None:
    model = wrap(InTurns().eval())
    once = ["fast.0", "fast.1", "fast.0", "fast.1", "slow.0", "slow.1"]
    assert [block.path for block in model.anatomy.blocks] == once * 2
    assert [block.nth for block in model.anatomy.blocks[:4]] == [0, 0, 1, 1]
    broken = [name for name in model.anatomy.missing if name.startswith("stream from")]
    assert broken == ["stream from block 3 to 4", "stream from block 9 to 10"]
    assert all(proof.holds for proof in model.anatomy.proofs)


def test_blocks_kept_in_several_lists_are_put_together() -> None:
    torch.manual_seed(0)
    module = Apart().eval()
    model = wrap(module)
    assert [block.path for block in model.anatomy.blocks] == [f"mixers.{i}" for i in range(DEPTH)]
    assert {block.kinds for block in model.anatomy.blocks} == {("ssm", "mlp")}
    assert not [name for name in model.anatomy.missing if name.startswith("stream from")]
    ids = torch.randint(0, VOCAB, (2, 7))
    trace = model.trace(ids, read=["blocks.*.resid_post", "blocks.1.ssm.out", "blocks.1.mlp.out"])
    total = trace["blocks.0.resid_post"] + trace["blocks.1.ssm.out"] + trace["blocks.1.mlp.out"]
    torch.testing.assert_close(total, trace["blocks.1.resid_post"])
    torch.testing.assert_close(model.unembed(trace["blocks.2.resid_post"]), module(ids))
