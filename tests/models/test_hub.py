"""Models of the hub, against a small hub on loopback; the client runs in a process of its own, as its endpoint is fixed
on import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interp_assert import load

from .hub_server import HubServer, Repository, sha256
from .tiny_models import llama, save

CLIENT = """
import json, sys, time, warnings
time.sleep = lambda seconds: None  # the client's retries need no pause here
warnings.simplefilter("always")
from interp_assert import InterpError, load
out = {}
try:
    with warnings.catch_warnings(record=True) as caught:
        model = load(sys.argv[1], **json.loads(sys.argv[2]))
        out["heavy"] = [name for name in ("torch", "transformers", "numpy") if name in sys.modules]
        identity = model.identity
        out |= {"id": model.id, "sha256": identity.sha256, "revision": identity.revision, "kind": identity.kind}
        if sys.argv[3] == "open":
            out |= {"parameters": model.n_parameters, "bos": model.tokenizer.bos_token_id}
            out["provenance"] = model.provenance()
        if sys.argv[3] in ("fetch", "open"):
            model.verify_unchanged()
            out["fetched"] = True
    out["warnings"] = [str(w.message) for w in caught if "hub" in str(w.message)]
except InterpError as error:
    out |= {"error": type(error).__name__, "message": str(error)}
print("RESULT " + json.dumps(out))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("repository")
    repository = Repository()
    repository.commit(save(llama(1), folder / "first"), "step1", "v1")
    repository.commit(save(llama(2), folder / "second"), "main")
    repository.commit(save(llama(3), folder / "sharded", max_shard_size="20KB"), "sharded")
    repository.commit(pickled(save(llama(4), folder / "pickled")), "pickled")
    return repository


def pickled(directory: Path) -> Path:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    return directory


@pytest.fixture
def hub(repository: Repository) -> Iterator[HubServer]:
    with HubServer({"org/tiny": repository, "org/gated": Repository(gated=True)}) as hub:
        yield hub


@pytest.fixture
def ask(tmp_path: Path, hub: HubServer) -> Any:
    def run(
        id: str, opening: str = "look", endpoint: str | None = None, environment: Any = None, **options: Any
    ) -> Any:
        settings = {
            "HF_ENDPOINT": endpoint or hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        }
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
        }
        command = [sys.executable, "-c", CLIENT, id, json.dumps(options), opening]
        done = subprocess.run(
            command,
            env={**inherited, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
        )
        results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert results, done.stdout + done.stderr
        return json.loads(results[0].removeprefix("RESULT "))

    return run


def test_identity_is_known_from_metadata_alone(ask: Any, hub: HubServer, repository: Repository) -> None:
    seen = ask("org/tiny")
    commit = repository.refs["main"]
    assert seen["heavy"] == []
    assert (seen["id"], seen["kind"], seen["revision"]) == ("org/tiny", "hub", commit)
    assert seen["sha256"] == sha256(repository.commits[commit]["model.safetensors"])
    assert not any("model.safetensors" in request for request in hub.requests)


def test_revisions_open_different_weights_and_offline_takes_the_cache(
    ask: Any, repository: Repository, tmp_path: Path
) -> None:
    main, step = ask("org/tiny", "open"), ask("org/tiny@step1", "fetch")
    assert main["parameters"] > 0
    assert main["bos"] == 1
    assert main["sha256"] != step["sha256"]
    assert step["id"] == "org/tiny@step1"
    assert step["revision"] == repository.refs["step1"]
    assert main["provenance"]["repository"] == "org/tiny"
    assert ask("org/tiny", revision="step1")["sha256"] == step["sha256"]

    offline = ask("org/tiny@step1", environment={"HF_HUB_OFFLINE": "1"})
    assert (offline["sha256"], offline["revision"], offline["warnings"]) == (step["sha256"], step["revision"], [])
    unreachable = ask("org/tiny", endpoint="http://127.0.0.1:9")
    assert unreachable["sha256"] == main["sha256"]
    assert "cannot be reached" in unreachable["warnings"][0]
    pinned = ask(f"org/tiny@{step['revision']}", "fetch", endpoint="http://127.0.0.1:9")
    assert (pinned["sha256"], pinned["warnings"]) == (step["sha256"], [])

    snapshot = next((tmp_path / "hf").rglob(f"snapshots/{repository.refs['main']}"))
    assert load(str(snapshot)).identity.sha256 == main["sha256"]


def test_shards_are_found_through_their_index(ask: Any, repository: Repository) -> None:
    assert sum(name.endswith(".safetensors") for name in repository.commits[repository.refs["sharded"]]) > 1
    seen = ask("org/tiny@sharded", "open")
    assert seen["parameters"] == sum(parameter.numel() for parameter in llama().parameters())


def test_what_the_hub_does_not_have_is_named(ask: Any, hub: HubServer) -> None:
    missing = ask("org/absent")
    assert missing["error"] == "ModelNotFound"
    assert "'org/absent'" in missing["message"]
    assert hub.endpoint in missing["message"]
    revision = ask("org/tiny@step9")
    assert revision["error"] == "ModelNotFound"
    assert "'step9'" in revision["message"]
    gated = ask("org/gated")
    assert gated["error"] == "ModelRefused"
    assert "gated" in gated["message"]
    assert "HF_TOKEN" in gated["message"]
    refused = ask("org/tiny@pickled")
    assert refused["error"] == "ModelRefused"
    assert "pytorch_model.bin" in refused["message"]


def test_an_unreachable_hub_is_named_with_the_remedy(ask: Any) -> None:
    seen = ask("org/tiny", endpoint="http://127.0.0.1:9")
    assert seen["error"] == "ModelNotFound"
    assert "http://127.0.0.1:9 cannot be reached" in seen["message"]
    assert "HF_ENDPOINT" in seen["message"]
    assert "directory" in seen["message"]
    offline = ask("org/tiny", environment={"HF_HUB_OFFLINE": "1"})
    assert offline["error"] == "ModelNotFound"
    assert "HF_HUB_OFFLINE" in offline["message"]


def test_a_server_that_dies_in_the_middle_leaves_nothing_half_loaded(
    ask: Any, hub: HubServer, repository: Repository
) -> None:
    hub.die_within = "model.safetensors"
    broken = ask("org/tiny", "fetch")
    assert broken["error"] == "ModelNotFound"
    assert "model.safetensors" in broken["message"]
    assert "broke off" in broken["message"]
    assert "Run again" in broken["message"]
    assert ask("org/tiny", environment={"HF_HUB_OFFLINE": "1"})["error"] == "ModelNotFound"

    with HubServer(hub.repositories) as restarted:
        again = ask("org/tiny", "fetch", endpoint=restarted.endpoint)
    assert again["fetched"]
    assert again["sha256"] == sha256(repository.commits[repository.refs["main"]]["model.safetensors"])
