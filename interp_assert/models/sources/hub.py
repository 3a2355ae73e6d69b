"""Models of the Hugging Face Hub: looked up by their metadata, downloaded on first use, taken from the cache when
offline."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InterpError, ModelBroken, ModelNotFound, ModelRefused
from .directory import INDEX, TOKENIZER_FILES, WEIGHTS, read_config, refuse_pickled, shard_names, weight_files
from .identity import sha256_of_file
from .ids import ModelId

__all__ = ["HubModel", "look_up"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MORE_FILES = ("generation_config.json", "chat_template.jinja")


@dataclass(frozen=True)
class HubModel:
    """One commit of a repository.

    ``weights`` and ``small`` (config, index, tokenizer, and code if trusted) map file names to digests: the sha256 of a
    file in LFS, else the git blob id. ``config`` is the repository's config.json.
    """

    repo: str
    commit: str
    weights: Mapping[str, str]
    small: Mapping[str, str]
    config: Mapping[str, Any]

    def fetch(self, *, weights: bool) -> Path:
        """Download what is not in the cache yet, and return the snapshot's directory.

        Raises ModelNotFound if the download breaks off: whole files stay in the cache for the next time, and nothing
        partial is ever opened.
        """
        from huggingface_hub import snapshot_download

        names = [*self.small, *(self.weights if weights else ())]
        snapshot = _cached_snapshot(self.repo, self.commit)
        if snapshot is not None and all((snapshot / name).is_file() for name in names):
            return snapshot
        try:
            return Path(snapshot_download(self.repo, revision=self.commit, allow_patterns=names))
        except Exception as error:
            if not _network_failure(error):
                raise
            snapshot = _cached_snapshot(self.repo, self.commit)
            missing = [name for name in names if snapshot is None or not (snapshot / name).is_file()]
            raise ModelNotFound(
                f"{self.repo}@{self.commit[:12]}: the download of {', '.join(missing) or 'a file'} from {_endpoint()} "
                "broke off "
                f"({_reason(error)}); nothing was opened. Run again: the files that arrived whole are kept, the rest "
                "is fetched"
            ) from error


def look_up(parsed: ModelId, *, trust_remote_code: bool) -> HubModel:
    """Find a repository at its revision; only metadata, config.json and the index of shards are fetched.

    A commit that the cache holds whole is taken from there. Where the hub cannot be reached, the cache is used, with a
    warning unless offline mode was asked for.

    Raises ModelNotFound (repository, revision, hub unreachable), ModelRefused (gated, no access, pickled weights only).
    """
    revision = parsed.revision or "main"
    if _COMMIT.fullmatch(revision) and (cached := _from_cache(parsed, revision, trust_remote_code)) is not None:
        return cached
    try:
        with _explained(parsed):
            return _from_hub(parsed, trust_remote_code)
    except _Unreachable as unreachable:
        offline, reason = unreachable.offline, unreachable.reason
    cached = _from_cache(parsed, revision, trust_remote_code)
    if cached is None:
        if offline:
            raise ModelNotFound(
                f"{parsed.id} is not in the cache {_cache()}, and offline mode (HF_HUB_OFFLINE) forbids to ask "
                f"{_endpoint()}; unset it, "
                "or give a directory that holds the model"
            )
        raise ModelNotFound(
            f"{parsed.id} is not in the cache {_cache()}, and the hub {_endpoint()} cannot be reached ({reason}); "
            "check the network or "
            "HF_ENDPOINT, or give a directory that holds the model"
        )
    if not offline:
        warnings.warn(
            f"the hub {_endpoint()} cannot be reached ({reason}): {parsed.id} is taken from the cache, commit "
            f"{cached.commit[:12]}",
            UserWarning,
            stacklevel=4,
        )
    return cached


class _Unreachable(Exception):
    """The hub did not answer; ``offline`` if it was not asked because the user forbade it."""

    def __init__(self, reason: str, *, offline: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offline = offline


def _from_hub(parsed: ModelId, trust_remote_code: bool) -> HubModel:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(parsed.target, revision=parsed.revision, files_metadata=True)
    commit = info.sha or ""
    digests = {file.rfilename: _digest(file) for file in info.siblings or []}
    where = f"{parsed.id} ({_endpoint()}/{parsed.target})"
    if "config.json" not in digests:
        raise ModelNotFound(f"{where} has no config.json, so it is no transformers model")
    if "adapter_config.json" in digests:
        raise ModelRefused(f"{where} is an adapter: merge it into its base model, save that, and give the directory")
    if WEIGHTS in digests:
        shards = [WEIGHTS]
    elif INDEX in digests:
        shards = shard_names(Path(hf_hub_download(parsed.target, INDEX, revision=commit)))
    else:
        refuse_pickled([name for name in digests if "/" not in name], where)
        raise ModelNotFound(f"{where} has no weights: neither {WEIGHTS} nor {INDEX}")
    missing = [name for name in shards if name not in digests]
    if missing:
        raise ModelBroken(f"{where} lacks shards that {INDEX} names: {', '.join(missing[:3])}")
    small = {name: digests[name] for name in digests if _wanted(name, trust_remote_code)}
    # Asked for by branch or tag, so that the cache remembers which commit that was, for when the hub cannot be asked.
    path = Path(hf_hub_download(parsed.target, "config.json", revision=parsed.revision))
    if path.parent.name != commit:  # the branch has moved on within this function
        path = Path(hf_hub_download(parsed.target, "config.json", revision=commit))
    return HubModel(parsed.target, commit, {name: digests[name] for name in shards}, small, read_config(path.parent))


def _from_cache(parsed: ModelId, revision: str, trust_remote_code: bool) -> HubModel | None:
    """The model as the cache holds it; None if it does not, or not whole."""
    snapshot = _cached_snapshot(parsed.target, revision)
    if snapshot is None:
        return None
    try:
        weights = weight_files(snapshot)
    except (ModelNotFound, ModelBroken):
        return None  # only part of it was ever downloaded
    names = [path.name for path in snapshot.iterdir() if path.is_file() and _wanted(path.name, trust_remote_code)]
    return HubModel(
        parsed.target,
        snapshot.name,
        {path.name: _digest_of_cached(path) for path in weights},
        {name: _digest_of_cached(snapshot / name) for name in sorted(names)},
        read_config(snapshot),
    )


def _cached_snapshot(repo: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def _digest_of_cached(path: Path) -> str:
    # The cache links each file to a blob that is named by the hub's own digest; where links are not possible it holds
    # plain files.
    name = path.resolve().name
    return name if _DIGEST.fullmatch(name) else sha256_of_file(path)


def _digest(file: Any) -> str:
    lfs = file.lfs
    return str(lfs.sha256) if lfs is not None else str(file.blob_id)


def _wanted(name: str, trust_remote_code: bool) -> bool:
    if name in ("config.json", INDEX, *_MORE_FILES, *TOKENIZER_FILES):
        return True
    return trust_remote_code and name.endswith(".py")


@contextmanager
def _explained(parsed: ModelId) -> Iterator[None]:
    """Turn the hub client's exceptions into ours; _Unreachable where the cache may still help."""
    from huggingface_hub import errors

    repo, endpoint = parsed.target, _endpoint()
    try:
        yield
    except InterpError:
        raise
    except errors.GatedRepoError as error:
        raise ModelRefused(
            f"{repo} is gated: accept its conditions at {endpoint}/{repo}, then log in with `hf auth login` or set "
            "HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFound(
            f"{repo} has no revision {parsed.revision!r}; its branches and tags are listed at "
            f"{endpoint}/{repo}/tree/main"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"no repository {repo!r} at {endpoint}, and no directory of that name here. If it is private, log in with "
            "`hf auth login` "
            f"or set HF_TOKEN; a directory is written ./{repo}"
        ) from error
    except errors.HFValidationError as error:
        raise ModelNotFound(f"no repository can be named {repo!r}: {_reason(error)}") from error
    except errors.OfflineModeIsEnabled as error:
        raise _Unreachable("offline mode", offline=True) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise ModelRefused(
                f"{endpoint} denies access to {repo} ({status}): log in with `hf auth login` or set HF_TOKEN"
            ) from error
        raise _Unreachable(_reason(error), offline=False) from error
    except Exception as error:
        if not _network_failure(error):
            raise
        raise _Unreachable(_reason(error), offline=False) from error


def _network_failure(error: BaseException) -> bool:
    # huggingface_hub.errors re-exports the exception base of whichever HTTP client this version of it uses.
    from huggingface_hub import errors

    base = getattr(errors, "HTTPError", OSError)
    return isinstance(error, (OSError, base, json.JSONDecodeError))


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _reason(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"[:200] if line else type(error).__name__
