"""A hub on this machine: it makes repositories and takes commits, with files of LFS, as huggingface_hub sends them.

It keeps what it took in memory, so that a test can compare, and fails where it is told to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "x" * 34
# From this size on a file goes to the store, as binary files do.
_LARGE = 2_000


class Hub:
    """What a hub holds, and how it is to fail.

    Attributes:
        repositories: by name whether it is private, and by branch what is on it: the files' content by name.
        stored: what is in the store for large files, by SHA-256.
        asked: the paths that were asked for, with the method.
        fail: by a part of a path, the status to answer with and what to say; a status of 0 closes the connection.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.messages: list[str] = []
        self.fail: dict[str, tuple[int, str]] = {}
        self.endpoint = ""

    def add(self, name: str, *, private: bool = False) -> None:
        self.repositories[name] = {"private": private, "branches": {"main": {}}}

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        return dict(self.repositories[name]["branches"][branch])


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub on a free port of this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"{self.command} {path}")
        for part, (status, said) in self.hub.fail.items():
            if part in path:
                if status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                self._answer(status, {"error": said})
                return
        if not path.startswith("/store/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
            return
        self._route(path, body)

    def _route(self, path: str, body: bytes) -> None:
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif path.startswith("/store/"):
            self.hub.stored[hashlib.sha256(body).hexdigest()] = body
            self._answer(200 if parts[1] in self.hub.stored else 400, {})
        elif path.endswith("/info/lfs/objects/batch"):
            self._offer(json.loads(body))
        elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.hub.repositories:
            name = "/".join(parts[2:4])
            self._on_repository(name, parts[4:], body)
        else:
            self._answer(404, {"error": "Repository not found"}, code="RepoNotFound")

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        url = f"{self.hub.endpoint}/{name}"
        if not name.startswith("me/"):
            self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        elif name in self.hub.repositories:
            self._answer(409, {"error": "You already created this model repo", "url": url})
        else:
            self.hub.add(name, private=asked.get("private") is True or asked.get("visibility") == "private")
            self._answer(200, {"url": url, "name": name})

    def _offer(self, asked: dict[str, Any]) -> None:
        objects = [
            {
                **wanted,
                "actions": {"upload": {"href": f"{self.hub.endpoint}/store/{wanted['oid']}"}},
            }
            if wanted["oid"] not in self.hub.stored
            else wanted
            for wanted in asked["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _on_repository(self, name: str, rest: list[str], body: bytes) -> None:
        repository = self.hub.repositories[name]
        branches = repository["branches"]
        if rest[:1] == ["branch"]:
            branches.setdefault(rest[1], dict(branches["main"]))
            self._answer(200, {})
        elif rest[:1] == ["preupload"] and rest[1] in branches:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= _LARGE else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif rest[:1] == ["commit"] and rest[1] in branches:
            self._commit(name, branches[rest[1]], body)
        elif not rest or rest[0] == "revision":
            self._answer(
                200, {"id": name, "modelId": name, "private": repository["private"], "sha": "0" * 40, "siblings": []}
            )
        else:
            self._answer(404, {"error": "Invalid rev id"}, code="RevisionNotFound")

    def _commit(self, name: str, branch: dict[str, bytes], body: bytes) -> None:
        made: dict[str, bytes] = {}
        for line in body.splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif step["key"] == "file":
                made[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                made[value["path"]] = self.hub.stored[value["oid"]]
        branch.update(made)
        self._answer(200, {"commitUrl": f"{self.hub.endpoint}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40})

    def _answer(self, status: int, data: dict[str, Any], code: str | None = None) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code is not None:
            self.send_header("X-Error-Code", code)
        if "error" in data:
            self.send_header("X-Error-Message", data["error"])
        self.end_headers()
        self.wfile.write(content)
