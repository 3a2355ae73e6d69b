"""What the sources of the architectures say of the tiny models, where it is not what holds for most: four blocks of
attention and MLP on one causal residual stream, a final norm and a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .sizes import LAYERS

Kinds = tuple[str, ...]
Present = Callable[[Any, int], torch.Tensor]


def first_vectors(out: Any, _length: int = 0) -> torch.Tensor:
    """The first tensor of vectors in what a block hands out."""
    if isinstance(out, torch.Tensor):
        return out
    parts = out.values() if isinstance(out, dict) else out
    return next(part for part in parts if isinstance(part, torch.Tensor) and part.ndim >= 3)


@dataclass(frozen=True)
class Facts:
    """``present`` makes the site's value of what a block itself hands out, and of how many positions there are.

    ``plain_sum``: a block's output is its input plus its addends and nothing else. ``logits_of_head``: the head makes
    the logits of what the final norm hands out, but for scale, cap and cut.
    """

    n_blocks: int = LAYERS
    kinds: Sequence[Kinds] | None = None
    parallel: bool = False
    streams: int = 1
    present: Present = first_vectors
    shown_by: str | None = None
    causal: bool = True
    final_norm: bool = True
    logits_of_head: bool = True
    plain_sum: bool = True
    mlp_stays: bool = True
    unembeds: bool = True
    breaks: int = 0


def _each(*kinds: str, blocks: int = LAYERS) -> list[Kinds]:
    return [kinds] * blocks


def _with(where: str, **facts: Any) -> dict[str, dict[str, Any]]:
    return dict.fromkeys(where.split(), facts)


def _merge(*tables: dict[str, dict[str, Any]]) -> dict[str, Facts]:
    merged: dict[str, dict[str, Any]] = {}
    for table in tables:
        for model_type, facts in table.items():
            merged[model_type] = {**merged.get(model_type, {}), **facts}
    return {model_type: Facts(**facts) for model_type, facts in merged.items()}


EXCEPTIONS = _merge(
    # kinds
    _with("mamba mamba2 falcon_mamba zamba zamba2", kinds=_each("ssm")),  # zamba's shared attention feeds the mixer
    _with("rwkv xlstm", kinds=_each("ssm", "mlp")),
    _with("falcon_h1", kinds=_each("ssm", "attn", "mlp")),
    _with("gemma4 gemma4_text", kinds=_each("attn", "mlp", "side")),  # a gate of the inputs that each layer gets
    _with("xmod", kinds=_each("attn", "mlp", "mlp")),  # the language's adapter
    _with("longcat_flash", kinds=_each("attn", "mlp", "attn", "mlp", "mlp")),  # num_hidden_layers is twice the blocks
    _with("nemotron_h", kinds=[("ssm",), ("mlp",), ("attn",), ("mlp",)]),  # one component in each block
    _with(
        "codegen cohere cohere2 cohere2_moe cohere_compass_text falcon gpt_neox gptj phi",
        parallel=True,
    ),
    # blocks
    _with("blt", n_blocks=3, breaks=2),  # the decoder's, with cross-attention to patches in between
    _with("hrm_text", n_blocks=32, kinds=_each("attn", "mlp", blocks=32), breaks=7),  # (3 low + 1 high) * 2 stacks of 4
    _with("mllama", n_blocks=3),  # cross-attention is left out where there is no image
    # streams
    _with("gemma3n gemma3n_text", streams=4, present=lambda out, _: out.permute(1, 2, 0, 3)),
    _with("deepseek_v4 hy_v4", streams=4),
    _with("qwen4_exp qwen4_exp_text", streams=4, present=lambda out, _: out.unflatten(-1, (4, -1))),
    _with(
        "reformer",
        streams=2,
        present=lambda out, length: torch.stack([out.hidden_states, out.attn_output], 2)[:, :length],
    ),
    _with(
        "prophetnet", streams=3, present=lambda out, length: out[0].unflatten(1, (3, length)).transpose(1, 2)
    ),  # the prompt's and two that predict
    # layouts
    _with("xlnet", present=lambda out, _: out[0].transpose(0, 1)),
    _with("cpmant", present=lambda out, length: out[0][:, -length:]),
    _with("xlm", shown_by="transformer.layer_norm2.{i}"),
    # the future is seen
    _with("cpmant prophetnet xlnet", causal=False),
    # no final norm
    _with(
        "bart bert bert-generation big_bird blenderbot-small camembert data2vec-text electra ernie git marian mvp "
        "openai-gpt plbart prophetnet qwen4_exp qwen4_exp_text rembert roberta roc_bert roformer trocr xlm xlm-roberta "
        "xlnet xmod",
        final_norm=False,
    ),
    # a dense layer and a norm come before the last matrix
    _with("megatron-bert modernbert-decoder roberta-prelayernorm xlm-roberta-xl", logits_of_head=False),
    # blocks that do more than add: a norm after each addition, a stream that is scaled
    _with(
        "bart bert bert-generation big_bird blenderbot-small camembert data2vec-text electra ernie git marian mvp "
        "openai-gpt plbart prophetnet rembert roberta roc_bert roformer trocr xlm xlm-roberta xlnet xmod",
        plain_sum=False,
    ),
    _with("beam doge minimax zaya", plain_sum=False),
    _with("rwkv", plain_sum=False),  # its first block begins with a norm of the stream
    _with("inkling2_text", unembeds=False),  # attention over the residuals of several blocks
    _with("inkling_text inkling2_text", mlp_stays=False),  # a short convolution follows the MLP
    _with("rwkv", mlp_stays=False),  # and its channel mixing looks at the position before
)


def facts_of(model_type: str) -> Facts:
    """What is true of a type."""
    return EXCEPTIONS.get(model_type, Facts())


_BY_LAYER_TYPE = {"linear": "ssm", "mamba": "ssm", "recurrent": "ssm", "conv": "mixer"}


def kinds_of(model_type: str, config: Any) -> list[Kinds]:
    """The kinds of each block's components: those of the table, or what the config says of its layers."""
    facts = facts_of(model_type)
    if facts.kinds is not None:
        return list(facts.kinds)
    text = config.get_text_config(decoder=True)
    types = next(
        (
            found
            for name in ("layers_block_type", "layer_types")
            if isinstance(found := getattr(text, name, None), list | tuple)
        ),
        [],
    )
    if len(types) != facts.n_blocks:
        types = ["attention"] * facts.n_blocks
    mixers = [next((kind for word, kind in _BY_LAYER_TYPE.items() if word in str(name)), "attn") for name in types]
    return [(mixer, "mlp") for mixer in mixers]
