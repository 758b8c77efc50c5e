"""Look at an intermediate representation before OpenVINO does: where its weights are, and whose operators it uses."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from exporter.errors import UntrustedError, first_line

_TEXT_LIMIT = 512 << 20
_BLOCK = 1 << 20
# A document type declares entities, which grow without bound or read other files.
_DECLARED = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_OPERATORS = re.compile(r"opset\d+", re.ASCII)
_PLACE = ("offset", "size")


class _RepresentationError(ValueError):
    """A representation reaches beyond itself, or is none."""


def inspect_representation(path: Path) -> None:
    """Refuse an ``.xml`` that declares entities, uses operators of a library, or reads beyond its ``.bin``.

    Raises:
        UntrustedError: says what it has.
    """
    weights = path.with_suffix(".bin")
    try:
        if path.stat().st_size > _TEXT_LIMIT:
            raise _RepresentationError(f"it has {path.stat().st_size} bytes")
        _check_declarations(path)
        _check_layers(path, weights.stat().st_size if weights.is_file() else 0)
    except (_RepresentationError, ET.ParseError, OSError, UnicodeError) as error:
        raise UntrustedError(path.name, first_line(error)) from None


def _check_declarations(path: Path) -> None:
    """Check that a document is ASCII and declares nothing, before anything parses it."""
    kept = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if not block.isascii() or b"\0" in block:
                raise _RepresentationError("it is not written in ASCII")
            if _DECLARED.search(kept + block):
                raise _RepresentationError("it declares entities")
            kept = block[-64:]


def _check_layers(path: Path, available: int) -> None:
    root = True
    for event, element in ET.iterparse(path, events=("start", "end")):
        if event == "start":
            if root and element.tag != "net":
                raise _RepresentationError(f"it is a document of '{element.tag[:40]}', and no representation")
            root = False
        elif element.tag == "layer":
            version = element.get("version", "")
            if not _OPERATORS.fullmatch(version):
                raise _RepresentationError(
                    f"it uses '{element.get('type', '')[:40]}' of '{version[:40]}', which needs a library of operators"
                )
        elif element.tag == "data" and all(name in element.attrib for name in _PLACE):
            _check_place(element, available)
            element.clear()


def _check_place(element: ET.Element, available: int) -> None:
    try:
        offset, size = (int(element.attrib[name]) for name in _PLACE)
    except ValueError:
        raise _RepresentationError("a weight of it has no place") from None
    if offset < 0 or size < 0 or offset + size > available:
        raise _RepresentationError(f"a weight of it is at {offset} to {offset + size}, of {available} bytes")
