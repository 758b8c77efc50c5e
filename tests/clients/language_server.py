"""A client of a language server: JSON-RPC over the standard streams of its process, as editors speak it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands import offline_environment

ANSWER_SECONDS = 60
_CAPABILITIES = {
    "workspace": {"configuration": True, "workspaceFolders": True},
    "textDocument": {
        "completion": {"completionItem": {"documentationFormat": ["markdown"], "snippetSupport": True}},
        "hover": {"contentFormat": ["markdown"]},
        "publishDiagnostics": {},
    },
}


class LanguageServer:
    """A running server, and what it has said.

    Attributes:
        settings: what it is told where it asks for a section of the editor's settings.
    """

    def __init__(self, process: subprocess.Popen[bytes], settings: Mapping[str, Any]) -> None:
        self.process = process
        self.settings = settings
        self._asked = self._opened = 0
        self._said = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._findings: dict[str, list[dict[str, Any]]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, folder: Path) -> None:
        """Do what an editor does that opens a folder."""
        folders = [{"uri": folder.as_uri(), "name": folder.name}]
        root = {"processId": None, "rootUri": folder.as_uri(), "workspaceFolders": folders}
        self.ask("initialize", {**root, "capabilities": _CAPABILITIES})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": self.settings})

    def open(self, path: Path, text: str) -> list[tuple[str, str]]:
        """Open a document as an editor has it, and return what is underlined in it, with the message."""
        name = self._open(path, text)
        with self._said:
            assert self._said.wait_for(lambda: name in self._findings, ANSWER_SECONDS), "no diagnostics"
            findings = self._findings[name]
        lines = text.splitlines()
        return [(_under(lines, finding["range"]), finding["message"]) for finding in findings]

    def complete(self, path: Path, text: str) -> dict[str, dict[str, Any]]:
        """Open a document with a ``|`` where the cursor is, and return the items that are offered by their label."""
        return {item["label"]: item for item in self._ask_at("completion", path, text)["items"]}

    def hover(self, path: Path, text: str) -> str:
        """Open a document with a ``|`` where the pointer is, and return what is shown."""
        shown: str = self._ask_at("hover", path, text)["contents"]["value"]
        return shown

    def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """Return what the server answers to a request."""
        self._asked += 1
        number = self._asked
        self._write({"id": number, "method": method, "params": params})
        with self._said:
            assert self._said.wait_for(lambda: number in self._answers, ANSWER_SECONDS), f"no answer to {method}"
            answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def _ask_at(self, method: str, path: Path, text: str) -> Any:
        before, _, after = text.partition("|")
        place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        document = {"uri": self._open(path, before + after)}
        return self.ask(f"textDocument/{method}", {"textDocument": document, "position": place})

    def _open(self, path: Path, text: str) -> str:
        """Open a document under a name that no other had, since nothing says which text findings are of."""
        self._opened += 1
        name = path.with_stem(f"{path.stem}-{self._opened}").as_uri()
        self._tell(
            "textDocument/didOpen", {"textDocument": {"uri": name, "languageId": "yaml", "version": 1, "text": text}}
        )
        return name

    def _tell(self, method: str, params: Mapping[str, Any]) -> None:
        self._write({"method": method, "params": params})

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode("utf-8")
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = None
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            if length is None:
                return
            self._hear(json.loads(stream.read(length)))

    def _hear(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            with self._said:
                self._answers[message["id"]] = message
                self._said.notify_all()
        elif message["method"] == "textDocument/publishDiagnostics":
            with self._said:
                self._findings[message["params"]["uri"]] = message["params"]["diagnostics"]
                self._said.notify_all()
        elif "id" in message:
            sections = message["params"].get("items", ()) if message["method"] == "workspace/configuration" else ()
            result = [self.settings.get(section.get("section")) for section in sections] or None
            self._write({"id": message["id"], "result": result})


def _under(lines: Sequence[str], place: Mapping[str, Mapping[str, int]]) -> str:
    """Return the underlined text, which is in one line."""
    start, end = place["start"], place["end"]
    return lines[start["line"]][start["character"] : end["character"] if end["line"] == start["line"] else None]


@contextmanager
def serve(command: Sequence[str | Path], settings: Mapping[str, Any], folder: Path) -> Iterator[LanguageServer]:
    """Run a server in a folder while the block is open."""
    process = subprocess.Popen(
        [*map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=offline_environment(),
    )
    try:
        server = LanguageServer(process, settings)
        server.start(folder)
        yield server
    finally:
        process.kill()
        process.communicate()
