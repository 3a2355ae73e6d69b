"""Random-weight twins: the same model with untrained weights, the control for "it learned this"."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InterpError, UsageProblem
from .model import Model
from .sources.identity import Identity

if TYPE_CHECKING:
    import torch

    from .anatomy import Anatomy

__all__ = ["SCHEMES", "Twin", "TwinSource", "Twins", "default_twins", "twins"]

SCHEMES = ("resample", "init", "permute", "resample_keepemb", "init_keepemb", "permute_keepemb")
_LARGE = 1_000_000_000


def default_twins(model: Model) -> int:
    """Five up to a billion parameters, one (advisory: one twin has no spread) above."""
    return 5 if model.n_parameters <= _LARGE else 1


def twins(model: Model, *, scheme: str = "resample", n: int | None = None, seed: int = 0) -> Twins:
    """Twins 0 to n - 1 of ``model``, one at a time; each is valid until the next is asked for. See ``randomise`` for
    the schemes.

    Twin k depends on (seed, scheme, k) and on the trained weights alone. The twins share one copy of the module. Where
    two do not fit in memory, or where a ``forward`` was put on an instance of a module, they are written into the
    model's own module, whose weights wait in a temporary file: they come back, checked by hash, when the iterator ends
    or is closed, and as soon as the model itself is used again (which ends the current twin). Of a model that
    accelerate has offloaded, the twin's weights are brought from temporary files instead of the trained ones.

    Raises UsageProblem for an unknown scheme or n < 1; ModelRefused where the architecture has no initialisation for
    ``init``; ModelBroken if a twin's logits are not finite.
    """
    if scheme not in SCHEMES:
        raise UsageProblem(f"unknown scheme of random weights {scheme!r}: choose {', '.join(SCHEMES)}")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise UsageProblem(f"the number of twins is at least 1, not {n!r}")
    return Twins(_generate(model, scheme, default_twins(model) if n is None else n, seed))


class Twins(Iterator["Twin"]):
    """The iterator over a model's twins. A twin keeps it alive, so ``next(twins(model))`` lasts as long as the twin is
    held."""

    def __init__(self, twins: Generator[Twin, None, None]) -> None:
        self._twins = twins

    def __next__(self) -> Twin:
        twin = next(self._twins)
        twin.siblings = self
        return twin

    def close(self) -> None:
        """End the current twin and bring a borrowed module's weights back."""
        self._twins.close()

    def __enter__(self) -> Twins:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Twin(Model):
    """A model with random weights in place of the trained ones. Shares tokenizer, config, meter and anatomy structure
    with ``trained``:
    its forward passes are part of what the verdict on ``trained`` costs."""

    def __init__(self, trained: Model, identity: Identity, source: TwinSource) -> None:
        super().__init__(
            identity,
            source,
            batch_tokens=trained.batch_tokens,
            vocab_size=trained.vocab_size,
            max_positions=trained.max_positions,
        )
        self.trained = trained
        self.meter = trained.meter
        self.siblings: Twins | None = None
        self._twin_source = source

    @property
    def module(self) -> torch.nn.Module:
        """The module with random weights; raises InterpError once the next twin has taken its place."""
        return self._twin_source.open_module()

    @property
    def anatomy(self) -> Anatomy:
        """The trained model's anatomy on this module if it is known already, else discovered here."""
        if self._anatomy is None and self.trained._anatomy is not None:
            self._anatomy = self.trained._anatomy.rebind(self.module)
        return super().anatomy


class TwinSource:
    """Gives out a twin's module as long as it holds that twin's weights."""

    def __init__(self, trained: Model, module: torch.nn.Module, id: str, facts: Mapping[str, Any]) -> None:
        self._trained = trained
        self._module: torch.nn.Module | None = module
        self._id = id
        self._facts = facts

    def end(self) -> None:
        self._module = None

    def open_module(self) -> torch.nn.Module:
        if self._module is None:
            raise InterpError(
                f"the twin {self._id} is no longer there: twins are valid one at a time, until the next is asked for"
            )
        return self._module

    def open_tokenizer(self) -> Any | None:
        return self._trained.tokenizer

    def open_config(self) -> Any:
        return self._trained.config

    def verify(self, identity: Identity) -> None:
        self._trained.verify_unchanged()

    def facts(self) -> Mapping[str, Any]:
        return self._facts

    def opening(self) -> None:
        return None


def _generate(model: Model, scheme: str, n: int, seed: int) -> Generator[Twin, None, None]:
    from .randomise import randomise, refuse_non_finite_logits
    from .weights.lending import copies_well, two_fit

    head = _head(model) if scheme.endswith("_keepemb") else None
    host: _Copy | _Borrowed = _Copy(model) if copies_well(model.module) and two_fit(model.module) else _Borrowed(model)
    try:
        for k in range(n):
            module = host.with_trained_weights()
            id = f"{model.id}~{scheme}#{k}"
            randomise(module, scheme, seed=seed, k=k, head=head)
            refuse_non_finite_logits(module, model.vocab_size, id, max_positions=model.max_positions)
            digest = hashlib.sha256(f"{model.identity.sha256}\0{scheme}\0{seed}\0{k}".encode()).hexdigest()
            facts = {"trained": model.id, "scheme": scheme, "seed": seed, "k": k}
            source = TwinSource(model, module, id, facts)
            host.current = source
            yield Twin(model, replace(model.identity, id=id, kind="twin", sha256=digest), source)
            source.end()
    finally:
        host.close()


class _Copy:
    """One copy of the module, filled with the trained weights again for each twin."""

    def __init__(self, model: Model) -> None:
        self._trained = model.module
        self._copy: torch.nn.Module | None = None
        self.current: TwinSource | None = None

    def with_trained_weights(self) -> torch.nn.Module:
        import torch

        if self._copy is None:
            self._copy = copy.deepcopy(self._trained).requires_grad_(False).eval()
            return self._copy
        with torch.no_grad():
            for target, source in zip(self._copy.parameters(), self._trained.parameters(), strict=True):
                target.copy_(source)
        return self._copy

    def close(self) -> None:
        if self.current is not None:
            self.current.end()
        self._copy = None


class _Borrowed:
    """The model's own module, lent to the twins one after the other."""

    def __init__(self, model: Model) -> None:
        from .weights.lending import Lent

        self._model = model
        self._module = model.module
        self._lent = Lent(self._module, model.id)
        self.current: TwinSource | None = None
        self._dirty = False

    def with_trained_weights(self) -> torch.nn.Module:
        self._restore()
        self._dirty = True
        self._model.lend(self._restore)
        return self._module

    def close(self) -> None:
        try:
            if not sys.is_finalizing():  # then nobody is left to use the module
                self._restore()
        finally:
            self._lent.close(restore=False)

    def _restore(self) -> None:
        if self.current is not None:
            self.current.end()
        if self._dirty:
            self._lent.restore()
            self._model.lend(None)
            self._dirty = False


def _head(model: Model) -> str | None:
    """The path of the unembedding of a module that does not say which it is: where the readout, if known, has it."""
    if hasattr(model.module, "get_output_embeddings"):
        return None
    tap = model.anatomy.readout_head
    return None if tap is None else tap.path
