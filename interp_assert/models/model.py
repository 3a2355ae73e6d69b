"""The handle of a model under measurement: its identity is known at once, its weights and anatomy come on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UsageProblem
from .metering import Meter, MeteredSpan
from .sources.identity import Identity

if TYPE_CHECKING:
    import torch

    from .anatomy import Anatomy
    from .trace import Trace

__all__ = ["DEFAULT_BATCH_TOKENS", "Model", "Source"]

DEFAULT_BATCH_TOKENS = 8192


class Source(Protocol):
    """Where a Model's parts come from: files, a module that the user holds, or a twin of another model."""

    def open_module(self) -> torch.nn.Module:
        """The module, on its device, in eval mode, without gradients. Called once."""

    def open_tokenizer(self) -> Any | None:
        """The tokenizer, or None. Called once."""

    def open_config(self) -> Any:
        """The transformers config; needs no weights."""

    def verify(self, identity: Identity) -> None:
        """Raise ModelChanged if what ``identity`` was taken from has changed since."""

    def facts(self) -> Mapping[str, Any]:
        """What only the source knows for the provenance; builtins."""

    def opening(self) -> Mapping[str, Any] | None:
        """How files are opened, as it was asked for; None for a module in memory, whose code no digest covers."""


class Model:
    """A causal language model, opened for measurement. Made by ``load`` and ``wrap``.

    ``id`` is what the user wrote, or the name of ``name=...``; ``identity`` says which weights these are. Nothing heavy
    is imported or read until ``module``, ``tokenizer`` or ``config`` is asked for.
    """

    def __init__(
        self,
        identity: Identity,
        source: Source,
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        vocab_size: int | None = None,
        max_positions: int | None = None,
    ) -> None:
        self.identity = identity
        self.meter = Meter()
        self.source = source
        self.batch_tokens = batch_tokens
        self._vocab_size = vocab_size
        self._max_positions = max_positions
        self._module: torch.nn.Module | None = None
        self._tokenizer: Any = None
        self._tokenizer_opened = False
        self._config: Any = None
        self._anatomy: Anatomy | None = None
        self._take_back: Callable[[], None] | None = None
        self._watched = False
        self._look: str | None = None

    def __repr__(self) -> str:
        state = "open" if self._module is not None else "not opened yet"
        return f"<Model {self.id} ({self.identity.kind}, sha256 {self.identity.sha256[:12]}, {state})>"

    @property
    def id(self) -> str:
        """The id as the user wrote it, or the ``name`` of ``name=./directory``."""
        return self.identity.id

    @property
    def name(self) -> str:
        """A short name for tables: the last part of a path or a repository's name."""
        if self.identity.kind in ("directory", "hub"):
            return self.id.rstrip("/").rsplit("/", 1)[-1] or self.id
        return self.id

    @property
    def batch_tokens(self) -> int:
        """Upper bound on the tokens of one forward pass; a row that is longer goes alone."""
        return self._batch_tokens

    @batch_tokens.setter
    def batch_tokens(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageProblem(f"batch_tokens is a number of tokens of at least 1, not {value!r}")
        self._batch_tokens = value

    @property
    def opened(self) -> bool:
        """Whether the weights are in memory."""
        return self._module is not None

    @property
    def module(self) -> torch.nn.Module:
        """The module: eval mode, no gradients; loaded on first use."""
        if self._take_back is not None:
            self._take_back()
        if self._module is None:
            self._module = self.source.open_module()
            if self._watched:
                from .weights.looks import look_of

                self._look = look_of(self._module)
        return self._module

    def watch(self) -> None:
        """Have ``as_opened`` know how the module looked when it was opened; of one that is open already, nobody can."""
        self._watched = True

    @property
    def as_opened(self) -> bool:
        """Whether the model surely still is what its files say: it is not open, or was watched when it was opened, and
        since then nobody wrote into its weights or hung anything on it.
        """
        if self._module is None:
            return True
        from .weights.looks import look_of

        return self._look is not None and look_of(self.module) == self._look

    def lend(self, take_back: Callable[[], None] | None) -> None:
        """While the module holds a twin's weights, ``take_back`` brings the trained ones back; called before the module
        is used.
        None: the trained weights are back."""
        self._take_back = take_back

    @property
    def _held(self) -> torch.nn.Module:
        """The module for questions that its weights do not answer: a twin that has borrowed it may keep it."""
        return self.module if self._module is None else self._module

    @property
    def tokenizer(self) -> Any | None:
        """The tokenizer, or None for a model that has none: every measurement made of token ids works without."""
        if not self._tokenizer_opened:
            self._tokenizer = self.source.open_tokenizer()
            self._tokenizer_opened = True
        return self._tokenizer

    @property
    def config(self) -> Any:
        """The transformers config; of a model that is not open yet, without loading weights. A module that has none
        is given an ``OwnConfig``."""
        if self._module is not None and hasattr(getattr(self._module, "config", None), "get_text_config"):
            return self._module.config
        if self._config is None:
            self._config = self.source.open_config()
        return self._config

    @property
    def text_config(self) -> Any:
        """The part of the config that describes the language model."""
        describe = getattr(self.config, "get_text_config", None)
        return describe(decoder=True) if describe is not None else self.config

    @property
    def device(self) -> torch.device:
        """The device on which the input embeddings compute: where ids go, and where reads come to."""
        from .weights.placement import home

        return home(self._held)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that most of the weights have."""
        counts: dict[torch.dtype, int] = {}
        for parameter in self._held.parameters():
            if parameter.is_floating_point():
                counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
        return max(counts, key=lambda dtype: counts[dtype])

    @property
    def n_parameters(self) -> int:
        """Number of parameters; tied ones count once."""
        from .weights.placement import parameters

        return sum(parameter.numel() for _, parameter in parameters(self._held))

    @property
    def architecture(self) -> str:
        """The config's model_type, such as ``"gpt_neox"``; the class of a module that has none."""
        return str(getattr(self.config, "model_type", None) or type(self._held).__name__)

    @property
    def class_name(self) -> str:
        """The module's class, such as ``"GPTNeoXForCausalLM"``."""
        return type(self._held).__name__

    @property
    def max_positions(self) -> int | None:
        """The longest sequence that the model takes, as the config states it; None where nothing limits it (recurrent
        models, ALiBi)."""
        self._probe()
        if self._max_positions is not None:
            return self._max_positions
        for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"):
            value = getattr(self.text_config, key, None)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        return None

    @property
    def vocab_size(self) -> int:
        """Number of token ids: valid ids are 0 to vocab_size - 1."""
        self._probe()
        if self._vocab_size is not None:
            return self._vocab_size
        size = getattr(self.text_config, "vocab_size", None)
        if isinstance(size, int):
            return size
        return int(self._held.get_input_embeddings().weight.shape[0])  # type: ignore[operator]

    def _probe(self) -> None:
        """Of a model without a transformers config that was loaded, find the sizes on first use."""
        from .opening.own import OwnConfig

        if self._vocab_size is None and isinstance(self.config, OwnConfig):
            from .opening.probing import probe

            shown = probe(
                self._held, vocab_size=self.config.vocab_size, max_positions=self.config.max_position_embeddings
            )
            self._vocab_size, self._max_positions = shown.vocab_size, shown.max_positions

    @property
    def anatomy(self) -> Anatomy:
        """Where the blocks, mixers, MLPs, final norm and unembedding are: discovered and proven on first use."""
        if self._take_back is not None:
            self._take_back()
        if self._anatomy is None:
            from .discovery.discover import discover

            self._anatomy = discover(self)
        return self._anatomy

    def trace(
        self,
        ids: Any,
        read: Sequence[str] = (),
        write: Mapping[str, Any] | None = None,
        *,
        positions: Sequence[int] | None = None,
        logits: bool = True,
        grad: bool = False,
    ) -> Trace:
        """One forward pass over ``ids`` (batch, pos) that reads and writes sites; see ``trace.run_trace``."""
        from .trace import run_trace

        return run_trace(self, ids, read, write, positions=positions, logits=logits, grad=grad)

    def forward(self, ids: torch.Tensor) -> Any:
        """What the module returns for ids (batch, pos) on its device, in a plain pass without a cache; nothing is
        looked at."""
        from .calling import forward

        return forward(self.module, ids)

    def has(self, site: str) -> bool:
        """Whether a site (``blocks.*.attn.pattern``: any of them) is there and proven; proves it if that is due."""
        from .trace import has_site

        return has_site(self, site)

    def unembed(self, resid: torch.Tensor) -> torch.Tensor:
        """Logits (..., vocab) of residuals (..., d_model): final norm, unembedding, scaling and soft-capping."""
        return self.anatomy.unembed(resid)

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Batches of equally long rows: (indices into ``rows``, ids (batch, pos) on the model's device); see
        ``batching``."""
        from .batching import batches

        return batches(self, rows)

    @contextmanager
    def metered(self) -> Iterator[MeteredSpan]:
        """Measure what a block costs: ``with model.metered() as span: ...``, then ``span.cost``."""
        from .weights.placement import gpus

        with MeteredSpan(self.meter, lambda: () if self._module is None else gpus(self._module)) as span:
            yield span

    def verify_unchanged(self) -> None:
        """Hash the files (or a wrapped module's weights) again; raise ModelChanged naming what is not as it was."""
        self.source.verify(self.identity)

    def provenance(self) -> dict[str, Any]:
        """Everything about the model that decides its numbers, in builtins ready for JSON; opens the model."""
        from .provenance import provenance

        return provenance(self)
