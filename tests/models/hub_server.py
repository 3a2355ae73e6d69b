"""A small hub on loopback: model info, file trees, and files with the headers that huggingface_hub asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """Commits by name, branches and tags by commit; ``gated`` answers 403 to everybody."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, directory: Path, *refs: str) -> str:
        files = {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}
        name = hashlib.sha1("".join(map(str, sorted((n, sha256(c)) for n, c in files.items()))).encode()).hexdigest()
        self.commits[name] = files
        for ref in refs:
            self.refs[ref] = name
        return name


class HubServer:
    """``with HubServer({"org/name": Repository()}) as hub:``, then ``hub.endpoint``.

    ``die_within = "model.safetensors"``: half of that file is sent, then the whole server is gone.
    """

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.requests: list[str] = []
        self.die_within: str | None = None

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server_hub.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            repo, rest = "/".join(parts[2:4]), parts[4:]
        else:
            repo, rest = "/".join(parts[:2]), parts[2:]
        repository = self.server_hub.repositories.get(repo)
        if repository is None:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        if repository.gated:
            return self._refuse(403, "GatedRepo", f"Access to model {repo} is restricted")
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[commit]
        if parts[0] == "api" and rest[:1] == ["tree"]:
            return self._json([_entry(name, content) for name, content in files.items()], body)
        if parts[0] == "api":
            siblings = [_sibling(name, content) for name, content in files.items()]
            return self._json(
                {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings, "private": False}, body
            )
        name = "/".join(rest[2:])
        if name not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        return self._file(name, files[name], commit, body)

    def _file(self, name: str, content: bytes, commit: str, body: bool) -> None:
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if start else 200)
        digest = sha256(content) if _in_lfs(name) else blob_id(content)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        if name == self.server_hub.die_within:
            self.wfile.write(content[start : len(content) // 2])
            self.wfile.flush()
            self.connection.close()
            threading.Thread(target=self.server_hub.stop, daemon=True).start()
            return
        self.wfile.write(content[start:])

    def _json(self, value: Any, body: bool) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _in_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
    if _in_lfs(name):
        entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
    return entry


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
    if _in_lfs(name):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return entry
