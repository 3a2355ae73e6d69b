"""What every kind of sparse coder is: a dictionary, a way to choose among it, a loss, and a place in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import nn

from ..errors import UsageProblem
from .codes import Code, SparseCode
from .normalising import NORMALISATIONS, normalised, restored
from .recipe import Recipe
from .sparse import sparse_decode

_ROWS = 256
"""rows of a decoder at a time: what stays in the cache between two steps over them is not fetched twice"""

__all__ = ["NORMALISATIONS", "Coder", "Origin", "Step", "kind_named", "kinds", "register_kind"]


class Step(NamedTuple):
    """What a coder makes of one batch in training."""

    loss: torch.Tensor
    """a number to be made smaller"""
    fired: torch.Tensor
    """(d_sae,) which latents were active on any of its vectors"""


@dataclass(frozen=True)
class Origin:
    """Where a coder that was trained here comes from."""

    model: str
    site: str
    recipe: Recipe
    head: int | None = None
    documents: str = ""
    """what it was trained on"""
    vectors: int = 0
    """activations that the training read, each counted once"""
    loss: float = 0.0
    """mean of the last tenth of the steps, per vector and relative to the variance"""


class Coder(nn.Module, ABC):
    """A sparse coder of activations ``x`` (n, d_in): ``decode(encode(x))`` is its reconstruction.

    A kind says how latents are chosen (``encode``) and what training makes small (``loss``); dictionaries are
    ``encoder()`` and ``decoder()`` (d_sae, d_in), a latent in each row. Kinds that reconstruct something else than what
    they read (transcoders) are given it as ``target`` in ``loss``.

    Attributes:
        shape: of a site's value at one position: (d_model,), or a matrix; ``d_in`` is its size.
        b_enc: (d_sae,).
        b_dec: (d_in,), subtracted from ``x`` first if ``subtracts_b_dec``.
        normalises: how each ``x`` is scaled before that, and its reconstruction scaled back: one of ``NORMALISATIONS``.
            Those that are trained here need none.
        site: where it was trained, if that is known, and ``head`` of that site.
        origin: how it was trained, if here.
    """

    kind: ClassVar[str]
    selects_k: ClassVar[bool] = False
    """whether the recipe says how many latents are active"""
    l1: ClassVar[float | None] = None
    """default weight of a sparsity penalty, for kinds that have one"""
    trainable: ClassVar[bool] = True
    of_matrices: ClassVar[bool] = False
    """whether it codes matrices only"""

    def __init__(self, shape: tuple[int, ...], d_sae: int) -> None:
        super().__init__()
        self.shape, self.d_in, self.d_sae = tuple(shape), prod(shape), d_sae
        self.subtracts_b_dec, self.normalises = True, "none"
        self.site: str | None = None
        self.head: int | None = None
        self.origin: Origin | None = None
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise UsageProblem for a recipe that this kind cannot carry out."""
        if not cls.trainable:
            able = ", ".join(kind for kind, made in kinds().items() if made.trainable)
            raise UsageProblem(f"coders of kind {cls.kind!r} are loaded, not trained; train one of {able}")
        if cls.selects_k and recipe.k is None:
            raise UsageProblem(f"a coder of kind {cls.kind!r} needs k, the number of active latents per vector")
        if not cls.selects_k and recipe.k is not None:
            raise UsageProblem(f"a coder of kind {cls.kind!r} has no k={recipe.k}: it chooses by a penalty, l1")

    @classmethod
    @abstractmethod
    def begin(
        cls: type[Kind], recipe: Recipe, shape: tuple[int, ...], mean: torch.Tensor, generator: torch.Generator
    ) -> Kind:
        """A coder with its first weights, for activations of unit scale with this ``mean`` (d_in,)."""

    @abstractmethod
    def encoder(self) -> torch.Tensor:
        """(d_sae, d_in)."""

    @abstractmethod
    def decoder(self) -> torch.Tensor:
        """(d_sae, d_in)."""

    @abstractmethod
    def encode(self, x: torch.Tensor) -> Code:
        """(n, d_in) -> which latents are active, and how much."""

    @abstractmethod
    def loss(self, x: torch.Tensor, target: torch.Tensor, dead: torch.Tensor, recipe: Recipe) -> Step:
        """Of a batch ``x`` (n, d_in) to be reconstructed as ``target``, both of unit scale; ``dead`` (d_sae,) marks
        latents that have been silent for long."""

    @abstractmethod
    def directions(self) -> list[nn.Parameter]:
        """The decoder's parameters whose rows have unit length."""

    @property
    def numbers_per_atom(self) -> int:
        """Free numbers of an atom: what dictionaries of different kinds are compared by."""
        return self.d_in

    def decode(self, code: Code) -> torch.Tensor:
        """(n, d_in), of normalised inputs if it normalises them."""
        if isinstance(code, SparseCode):
            return sparse_decode(code.index, code.value, self.decoder()) + self.b_dec
        return code.value @ self.decoder() + self.b_dec

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The reconstruction (n, d_in) of ``x`` (n, d_in)."""
        return self.coded(x)[1]

    def coded(self, x: torch.Tensor) -> tuple[Code, torch.Tensor]:
        """The code of ``x`` (n, d_in), and its reconstruction (n, d_in)."""
        code = self.encode(x)
        return code, restored(self.decode(code), x, self.normalises)

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` in the units of the dictionary."""
        return normalised(x, self.normalises)

    def centred(self, x: torch.Tensor) -> torch.Tensor:
        """What the encoder sees."""
        return self.normalised(x) - self.b_dec if self.subtracts_b_dec else self.normalised(x)

    @torch.no_grad()
    def drop_parallel_gradients(self) -> None:
        """Take out of the gradients what would only change the length of a unit row (Bricken et al. 2023)."""
        for parameter in self.directions():
            if parameter.grad is not None:
                for gradient, rows in zip(parameter.grad.split(_ROWS), parameter.split(_ROWS), strict=True):
                    gradient.addcmul_((gradient * rows).sum(-1, keepdim=True), rows, value=-1.0)

    @torch.no_grad()
    def restore_unit_rows(self) -> None:
        """Give the rows of the decoder unit length."""
        for parameter in self.directions():
            for rows in parameter.split(_ROWS):
                rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min_(1e-12))

    @torch.no_grad()
    def fold_scale(self, scale: float) -> None:
        """From activations of unit scale to those of ``scale``: decoder rows stay, what is active grows with it."""
        self.b_enc.mul_(scale)
        self.b_dec.mul_(scale)

    def settings(self) -> dict[str, Any]:
        """What its figures depend on besides its tensors."""
        return {"kind": self.kind, "d_in": self.d_in, "d_sae": self.d_sae, "shape": list(self.shape)}


Kind = TypeVar("Kind", bound=Coder)

_kinds: dict[str, type[Coder]] = {}
_SHIPPED = ("topk", "relu", "jumprelu", "rank1")


def register_kind(kind: type[Kind]) -> type[Kind]:
    """Make a kind known by its ``kind``; a class decorator. Raises UsageProblem if another class has the name; the same
    one defined anew, as in a notebook, takes its own place.
    """
    known = _kinds.get(kind.kind, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise UsageProblem(f"there is a kind of coder named {kind.kind!r} already: {known.__name__}")
    _kinds[kind.kind] = kind
    return kind


def kinds() -> dict[str, type[Coder]]:
    """All kinds by name, those shipped first."""
    from importlib import import_module

    for name in _SHIPPED:
        import_module(f".{name}", __package__)
    return {name: _kinds[name] for name in (*_SHIPPED, *sorted(_kinds.keys() - set(_SHIPPED)))}


def kind_named(kind: str) -> type[Coder]:
    """The class of a kind; raises UsageProblem naming those that there are."""
    known = kinds()
    if not isinstance(kind, str) or kind not in known:
        raise UsageProblem(f"no kind of coder {kind!r}; there are {', '.join(known)}")
    return known[kind]
