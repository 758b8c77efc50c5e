"""A draft as the text of a spec, in the form that those of the catalogue have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from exporter.drafting.draft import Draft, Path

_WIDTH = 120
_SCHEMA = "# yaml-language-server: $schema={}schemas/spec.schema.json"
# The order in which documents say things.
_ORDER = (
    "arguments",
    "dims",
    "inputs",
    "outputs_ignored",
    "tracer",
    "refused",
    "patches",
    "tasks",
    "tolerances",
    "reference",
)
_PLAIN = re.compile(r"[A-Za-z_(][^:#{}\[\],&*!|>'\"%@`]*\Z")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "~", ""}


def write_spec(draft: Draft, schema: str = "../") -> str:
    """Return the text of a spec.

    Args:
        draft: what it says.
        schema: where ``schemas/`` is, seen from the file.
    """
    head = [_SCHEMA.format(schema), *_comment(draft.remarks.get((), ""), 0), "spec_version: 1"]
    head += [f"architecture: {_scalar(draft.architecture)}", f"extends: {draft.family}"]
    sections = []
    for key in sorted(draft.parts, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER)):
        part = draft.parts[key]
        if part not in ({}, None):
            sections.append("\n".join(_lines(draft, (key,), part, 0)))
    return "\n\n".join(["\n".join(head), *sections]) + "\n"


def _lines(draft: Draft, path: Path, value: Any, depth: int) -> Iterator[str]:
    """Yield the lines of one key: block form down to what is short, and flow form below."""
    yield from _comment(draft.remarks.get(path, ""), depth)
    name = f"{'  ' * depth}{_scalar(path[-1])}:"
    remarked = any(other[: len(path)] == path and other != path for other in draft.remarks)
    if path[:2] == ("reference", "variants"):
        yield name
        for each in value:
            yield from _wrapped("  " * depth + "  - ", each)
    elif isinstance(value, Mapping) and value and (depth == 0 or remarked or _is_nested(path, value)):
        yield name
        for key, part in value.items():
            yield from _lines(draft, (*path, str(key)), part, depth + 1)
    else:
        yield from _wrapped(f"{name} ", value)


def _is_nested(path: Path, value: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is written as a block: one of several that do not fit a line."""
    if path == ("reference", "config"):
        return any(isinstance(part, Mapping) and len(part) > 2 for part in value.values())
    return path[0] != "reference" and len(flow(value)) > _WIDTH - 4 * len(path) - len(path[-1])


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth
    return [f"{indent}# {line}" for line in wrap(text, _WIDTH - len(indent) - 2)]


def _wrapped(start: str, value: Any) -> Iterator[str]:
    """Yield a value in flow form behind ``start``, on as many lines as it takes."""
    text = _line(value)
    if len(start) + len(text) <= _WIDTH or not isinstance(value, Mapping):
        yield start + text
        return
    line, pad = start + "{", " " * (len(start) + 1)
    items = [f"{_scalar(key)}: {flow(part)}" for key, part in value.items()]
    for index, item in enumerate(items):
        piece = item + (", " if index + 1 < len(items) else "}")
        if len(line) + len(piece.rstrip()) > _WIDTH and line.strip() not in ("{", ""):
            yield line.rstrip()
            line = pad
        line += piece
    yield line


def flow(value: Any) -> str:
    """Return a value in YAML's flow form."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:.1e}" if 0 < abs(value) < 1e-3 else repr(value)
        return re.sub(r"e-0(\d)", r"e-\1", text)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return (
        text
        if text.lower() not in _WORDS and _PLAIN.match(text) and "," not in text
        else json.dumps(text, ensure_ascii=False)
    )


def _line(value: Any) -> str:
    """Return a value as it stands alone behind its key, where a comma or a bracket needs no quotes."""
    plain = isinstance(value, str) and re.match(r"[A-Za-z(]", value) and not re.search(r": | #|[\"'{}|>&*%@`]", value)
    return value if plain and value.lower() not in _WORDS else flow(value)
