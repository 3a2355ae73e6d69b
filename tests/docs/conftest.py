"""Where the commands of the documentation run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.hub_server import HubServer, Repository
from models.tiny import build

from .shell import Shell


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A hub on loopback that has a (random) model under the id that the README uses."""
    directory = tmp_path_factory.mktemp("pythia")
    build("gpt_neox").save_pretrained(directory)
    repository = Repository()
    repository.commit(directory, "main")
    with HubServer({"EleutherAI/pythia-160m": repository}) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def shell(hub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell that finds this environment's programs and that hub, and knows of no other run of pytest."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "INTERP_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path_factory.mktemp("hf-home")),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with Shell(environment) as shell:
        yield shell
