"""Look at an ONNX file before a runtime does: where its weights are, and whose operators it uses.

The file is walked as protocol buffers lay it out, mapped and not parsed: a file may have gigabytes of weights, of which
nothing is read here.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.errors import UntrustedError, first_line

# Operators that every runtime has, and those that ONNX Runtime brings.
_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
# A node of ONNX Runtime that holds, or names the file of, what a device's compiler made.
_NATIVE = "EPContext"
_DEEPEST, _MOST_FIELDS = 64, 5_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# The fields of onnx.proto that lead to tensors, nodes and domains, by message and number.
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
_TEXTS: Mapping[str, Mapping[int, str]] = {
    "node": {4: "operator", 7: "domain"},
    "function": {10: "domain"},
    "tensor": {8: "name"},
    "entry": {1: "key", 2: "value"},
}
_LONGEST_TEXT = 4096


class _ModelError(ValueError):
    """A model reaches beyond itself, or is no model."""


@dataclass(slots=True)
class _Message:
    """A message that was met: its kind, its texts and its numbers, and the entries of a tensor."""

    kind: str
    texts: dict[str, str] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)


def inspect_model(path: Path) -> None:
    """Refuse a model whose weights are not in files beside it, or whose operators need a library.

    Raises:
        UntrustedError: says what it has.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise _ModelError("it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check_model(data, path)
    except (_ModelError, OSError) as error:
        raise UntrustedError(path.name, first_line(error)) from None


def _check_model(data: mmap.mmap, path: Path) -> None:
    nodes: set[tuple[str, str]] = set()
    functions: set[str] = set()
    for message in _messages(data):
        if message.kind == "tensor" and message.entries:
            _check_place(message, path)
        elif message.kind == "node":
            nodes.add((message.texts.get("domain", ""), message.texts.get("operator", "")))
        elif message.kind == "function":
            functions.add(message.texts.get("domain", ""))
    for domain, operator in sorted(nodes):
        if domain not in _DOMAINS | functions:
            raise _ModelError(f"it uses '{operator}' of '{domain}', which needs a library of operators")
        if operator == _NATIVE and domain == "com.microsoft":
            raise _ModelError(f"it has a node '{operator}', which holds native code")


def _check_place(tensor: _Message, path: Path) -> None:
    """Check that the bytes of a tensor are in a file beside the model, and that the file has them."""
    name, location = tensor.texts.get("name", ""), tensor.entries.get("location", "")
    place = path.parent / location
    if not location or "/" in location or "\\" in location or location in (".", "..") or "\0" in location:
        raise _ModelError(f"the data of '{name[:80]}' is in {location[:80]!r}, which is not beside it")
    if not place.is_file():
        raise _ModelError(f"the data of '{name[:80]}' is in {location[:80]!r}, which is not there")
    try:
        offset, length = (int(tensor.entries.get(key, "0")) for key in ("offset", "length"))
    except ValueError:
        raise _ModelError(f"the data of '{name[:80]}' has no place in {location[:80]!r}") from None
    if offset < 0 or length < 0 or offset + length > place.stat().st_size:
        raise _ModelError(f"the data of '{name[:80]}' ends beyond {location[:80]!r}")


def _messages(data: mmap.mmap) -> Iterator[_Message]:
    """Yield every message of a model that is complete, inner ones first."""
    count = 0
    stack: list[tuple[_Message, int, int]] = [(_Message("model"), 0, len(data))]
    while stack:
        message, at, end = stack.pop()
        inner = None
        while at < end and inner is None:
            count += 1
            if count > _MOST_FIELDS:
                raise _ModelError("it has too many parts")
            number, wire, at = _read_tag(data, at, end)
            start, stop, at = _read_value(data, wire, at, end)
            kind = _MESSAGES[message.kind].get(number)
            if wire != _BYTES:
                if kind is not None or number in _TEXTS.get(message.kind, {}):
                    raise _ModelError("it is no ONNX model")
            elif kind is not None:
                inner = (_Message(kind), start, stop)
            elif (text := _TEXTS.get(message.kind, {}).get(number)) is not None:
                message.texts[text] = _read_text(data, start, stop)
        if inner is not None:
            if len(stack) > _DEEPEST:
                raise _ModelError("it is nested too deeply")
            stack += [(message, at, end), inner]
            continue
        if message.kind == "entry" and stack:
            stack[-1][0].entries[message.texts.get("key", "")] = message.texts.get("value", "")
        yield message


def _read_text(data: mmap.mmap, start: int, stop: int) -> str:
    if stop - start > _LONGEST_TEXT:
        raise _ModelError(f"it has a name of {stop - start} characters")
    return data[start:stop].decode("utf-8", "replace")


def _read_tag(data: mmap.mmap, at: int, end: int) -> tuple[int, int, int]:
    tag, at = _read_varint(data, at, end)
    return tag >> 3, tag & 7, at


def _read_value(data: mmap.mmap, wire: int, at: int, end: int) -> tuple[int, int, int]:
    """Return where a value begins and ends, and where the next field is."""
    if wire == _VARINT:
        _, stop = _read_varint(data, at, end)
    elif wire == _BYTES:
        length, at = _read_varint(data, at, end)
        stop = at + length
    elif wire in (_FIXED64, _FIXED32):
        stop = at + (8 if wire == _FIXED64 else 4)
    else:
        raise _ModelError("it is no ONNX model")
    if stop > end:
        raise _ModelError("it is no ONNX model, or was cut short")
    return at, stop, stop


def _read_varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
    raise _ModelError("it is no ONNX model, or was cut short")
