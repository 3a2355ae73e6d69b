"""Open a model for measurement: ``load`` an id, or ``wrap`` a module that you already hold."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ModelNotFound
from .families.architectures import refuse_unopenable
from .model import Model
from .opening.files import FileSource, identify, refuse_broken
from .sources.directory import read_config
from .sources.hub import HubModel, look_up
from .sources.identity import Identity, digest_of_files
from .sources.ids import ModelId, open_scheme, parse_id
from .weights.memory import dtype_name
from .weights.spreading import DeviceMap, as_device_map

if TYPE_CHECKING:
    import torch

__all__ = ["load", "preflight", "wrap"]


def load(
    id: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    device_map: DeviceMap | None = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
) -> Model:
    """A lazy handle of the model ``id``: ``zoo:NAME[@STEP]``, a directory, or ``org/name[@revision]``; ``name=./dir``
    names a directory.

    Resolves the id, takes the model's identity and checks everything that can be checked without torch; weights are
    read on first use. Only safetensors are opened.

    ``device``: by default the first CUDA device if there is one, else the CPU. ``"auto"`` spreads a model over all
    GPUs, memory and disk with accelerate (the extra ``interp-assert[large]``), as ``device_map="auto"`` does in
    transformers; ``device_map`` takes whatever ``from_pretrained`` takes, such as ``{"model.layers.0": 0, ...}``.
    Weights that stay on disk are read for each pass from the checkpoint, or, where transformers has to convert them,
    from a private temporary directory that is removed with the model; ``TMPDIR`` says where.

    ``dtype``: by default float32 on the CPU if 1.5 times the weights fit in memory, else bfloat16; the checkpoint's own
    on a GPU.

    Raises ModelNotFound, ModelRefused, ModelBroken or UsageProblem.
    """
    identity, source = _find(
        id, revision, trust_remote_code=trust_remote_code, device=device, device_map=device_map, dtype=dtype
    )
    return Model(identity, source)


def preflight(
    id: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    device_map: DeviceMap | None = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
) -> Identity:
    """The identity of ``id`` after every check that needs no torch; the same errors as ``load``."""
    return _find(id, revision, trust_remote_code=trust_remote_code, device=device, device_map=device_map, dtype=dtype)[
        0
    ]


def wrap(
    module: torch.nn.Module | Any,
    tokenizer: Any | None = None,
    *,
    id: str | None = None,
    vocab_size: int | None = None,
    max_positions: int | None = None,
) -> Model:
    """A handle of a causal language model that you already hold, on its device and in its dtype: one of transformers,
    or any torch module that makes logits (batch, pos, vocab) of ids (batch, pos), as a tensor or within a tuple, dict
    or dataclass. nnsight's ``LanguageModel`` and TransformerLens' ``TransformerBridge`` are taken for the module in
    them, and for their tokenizer.

    The module is put in eval mode and stays so; nothing else about it changes, and its ``requires_grad`` flags stay as
    they are. Its identity is the sha256 over its state dict. ``vocab_size`` and ``max_positions`` (the longest
    sequence) are read from the module where they are not given; ``register_family`` says what cannot be read.

    Raises ModelRefused for a module that is no language model, is not deterministic, or has no weights yet;
    UsageProblem for sizes that the module contradicts; ModelBroken for weights that are not finite.
    """
    from .wrapped import wrap_module

    return wrap_module(module, tokenizer, id=id, vocab_size=vocab_size, max_positions=max_positions)


def _find(
    id: str,
    revision: str | None,
    *,
    trust_remote_code: bool,
    device: str | None,
    device_map: DeviceMap | None,
    dtype: Any,
) -> tuple[Identity, FileSource]:
    device, device_map = as_device_map(device, device_map)
    dtype = dtype_name(dtype)
    parsed = parse_id(id, revision)
    place: Path | HubModel
    if parsed.scheme == "hub":
        place = look_up(parsed, trust_remote_code=trust_remote_code)
        refuse_unopenable(place.config, parsed.id, trust_remote_code=trust_remote_code)
        identity = Identity(
            id=parsed.id,
            kind="hub",
            revision=place.commit,
            sha256=digest_of_files(place.weights.items()),
            files=MappingProxyType({**place.weights, **place.small}),
        )
    else:
        place = _directory(parsed)
        refuse_unopenable(read_config(place), str(place), trust_remote_code=trust_remote_code)
        refuse_broken(place)
        identity = identify(place, id=parsed.id, kind=parsed.scheme, revision=parsed.revision)
    return identity, FileSource(place, identity, device, dtype, trust_remote_code, device_map)


def _directory(parsed: ModelId) -> Path:
    if parsed.scheme != "directory":
        return open_scheme(parsed)
    try:
        directory = Path(parsed.target).expanduser()
    except RuntimeError as error:
        raise ModelNotFound(f"no directory {parsed.target}: {error}") from error
    if not directory.exists():
        unversioned, at, _ = parsed.target.rpartition("@")
        hint = "; a directory has no revisions, leave out what follows @" if at and Path(unversioned).is_dir() else ""
        raise ModelNotFound(f"no directory {parsed.target} (looked for {directory.resolve()}){hint}")
    if not directory.is_dir():
        raise ModelNotFound(f"{parsed.target} is a file; a model is a directory with config.json and model.safetensors")
    return directory.resolve()
