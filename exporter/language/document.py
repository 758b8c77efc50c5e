"""Text, places in it, and YAML nodes that remember their place.

The loader accepts the JSON-like core of YAML 1.2: mappings, sequences and scalars. Anchors, aliases, tags,
merge keys and several documents in one file are refused, which also makes alias bombs impossible; size, depth
and the number of values are bounded. Nodes are built from the event stream, so a document is abandoned at the first
event that breaks a bound.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from exporter.errors import first_line
from exporter.language.diagnostics import Diagnostic
from exporter.language.findings import DUPLICATE_KEY, FORBIDDEN_YAML, TOO_LARGE, WRONG_TYPE, YAML_SYNTAX, Rule
from exporter.language.text import Span, Text

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
# Keys count as values. The largest document of the catalogue has a hundredth of these.
MAX_VALUES = 200_000

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_INT = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INFS = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf: ``None``, a bool, an int, a float or a string."""

    value: bool | int | float | str | None
    span: Span

    @property
    def content(self) -> Span:
        """The span of the characters themselves, inside any quotes."""
        quoted = self.span.source.text[self.span.start : self.span.start + 1] in ("'", '"')
        return self.span.within(1, self.span.end - self.span.start - 1) if quoted else self.span


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and nodes in the order written. Keys are strings and unique."""

    entries: tuple[tuple[Scalar, Node], ...]
    span: Span
    # Made when a key is first looked up.
    _found: dict[str, tuple[Scalar, Node]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def get(self, key: str) -> Node | None:
        """Return the node under ``key``, or None."""
        entry = self._entry(key)
        return entry[1] if entry is not None else None

    def key(self, key: str) -> Scalar | None:
        """Return the key itself, with its place, or None."""
        entry = self._entry(key)
        return entry[0] if entry is not None else None

    def _entry(self, key: str) -> tuple[Scalar, Node] | None:
        if not self._found:
            self._found.update({str(entry[0].value): entry for entry in reversed(self.entries)})
        return self._found.get(key)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Iterate over ``(key, node)``."""
        return ((str(name.value), node) for name, node in self.entries)


Node = Scalar | Sequence | Mapping
Data = None | bool | int | float | str | list["Data"] | dict[str, "Data"]


def to_data(node: Node) -> Data:
    """Return the plain Python value of a node."""
    if isinstance(node, Mapping):
        return {key: to_data(value) for key, value in node.items()}
    if isinstance(node, Sequence):
        return [to_data(item) for item in node.items]
    return node.value


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its root node where there is one, and what was wrong with the syntax.

    Attributes:
        source: its text.
        root: its root node.
        diagnostics: what was wrong with the syntax.
        quoted: where each text in quotes or of a block begins and ends, in order. A ``#`` in one begins no comment.
    """

    source: Text
    root: Mapping | None
    diagnostics: tuple[Diagnostic, ...]
    quoted: tuple[tuple[int, int], ...] = ()

    def kind(self) -> str:
        """Return what the document declares itself to be: ``spec``, ``family``, ``tasks`` or ``build``."""
        kind = self.root.get("kind") if self.root is not None else None
        if isinstance(kind, Scalar) and kind.value in ("tasks", "build"):
            return str(kind.value)
        return "family" if self.root is not None and self.root.get("family") is not None else "spec"


def read_source(path: Path, name: str | None = None) -> Text | Document:
    """Read a file as UTF-8; a file that is too big or not text comes back as a Document with the finding."""
    shown = name or path.as_posix()
    empty = Text(shown, "", path)
    # Opened without waiting for whoever may write to a pipe of that name.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        return _refused(empty, "this is a directory, a device or a pipe, and no file", "name a file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        message = f"the file has {max(status.st_size, len(data)):,} bytes; a document may have {MAX_BYTES:,}"
        return _refused(empty, message, "split the file, or check that this is the file you meant")
    try:
        return Text(shown, data.decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 text (byte {error.start})"
        return _refused(empty, message, "save the file as UTF-8", rule=YAML_SYNTAX)


def load_document(path: Path, name: str | None = None) -> Document:
    """Read and parse a file. Never raises for bad content: the findings are in the document."""
    source = read_source(path, name)
    return source if isinstance(source, Document) else parse_document(source)


def parse_document(source: Text) -> Document:
    """Parse a text into nodes. Never raises for bad content: the findings are in the document."""
    control = _CONTROL.search(source.text)
    if control is not None:
        message = f"control character U+{ord(control.group()):04X} in the text"
        span = source.span(control.start(), control.end())
        return Document(source, None, (FORBIDDEN_YAML.at(message, span, help="remove it"),))
    builder = _NodeBuilder(source)
    try:
        root = builder.build()
    except _Refusal as refusal:
        return Document(source, None, (*builder.diagnostics, refusal.diagnostic))
    except yaml.YAMLError as error:
        return Document(source, None, (*builder.diagnostics, _syntax_diagnostic(source, error)))
    except RecursionError:
        return _refused(source, f"the document is nested deeper than {MAX_DEPTH} levels", "flatten it")
    if not isinstance(root, Mapping):
        span = root.span if root is not None else source.span(0, 0)
        message = "the document is empty" if root is None else "the document is not a mapping of keys to values"
        finding = WRONG_TYPE.at(message, span, help="start with 'spec_version: 1'")
        return Document(source, None, (*builder.diagnostics, finding))
    return Document(source, root, tuple(builder.diagnostics), tuple(builder.quoted))


class _Refusal(Exception):
    """Stops building at something the language does not have."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class _NodeBuilder:
    """Builds nodes from parser events."""

    def __init__(self, source: Text) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.quoted: list[tuple[int, int]] = []
        self.count = 0
        self.events = yaml.parse(source.text, Loader=_Loader)

    def build(self) -> Node | None:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._refuse(event, "a second document in one file", "put each document in a file of its own")
                root = self._node(next(self.events), 1)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"alias '*{event.anchor}'", "write the value out; shared facts belong in the family")
        if getattr(event, "anchor", None) is not None:
            self._refuse(event, f"anchor '&{event.anchor}'", "write the value out; shared facts belong in the family")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, f"tag '{event.tag}'", "remove the tag; values are plain YAML 1.2 data")
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Refusal(
                TOO_LARGE.at(
                    f"the document has more than {MAX_VALUES:,} values",
                    self._span(event, event),
                    "split the document, or check that this is the file you meant",
                )
            )
        if depth > MAX_DEPTH:
            self._refuse(event, f"nesting deeper than {MAX_DEPTH} levels", "flatten the document")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(event_ := next(self.events), yaml.SequenceEndEvent):
                items.append(self._node(event_, depth + 1))
            return Sequence(tuple(items), self._span(event, event_))
        return self._scalar(event)

    def _mapping(self, start: Any, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        seen: dict[str, Scalar] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                self._refuse(event, "a key that is itself a collection", "use a plain word as the key")
            if key.value == "<<":
                self._refuse(event, "merge key '<<'", "write the keys out; shared facts belong in the family")
            # Keys are names: `2` or `on` as a key is the text the author wrote.
            key = Scalar(key.content.text if not isinstance(key.value, str) else key.value, key.span)
            value = self._node(next(self.events), depth + 1)
            first = seen.setdefault(str(key.value), key)
            if first is not key:
                self.diagnostics.append(
                    DUPLICATE_KEY.at(
                        f"key '{key.value}' is given twice",
                        key.span,
                        help=f"keep one; the first is on line {first.span.line}",
                    ).labelled(first.span, "first given here")
                )
                continue
            entries.append((key, value))
        return Mapping(tuple(entries), self._span(start, event))

    def _scalar(self, event: Any) -> Scalar:
        span = self._span(event, event)
        if event.style:
            self.quoted.append((span.start, span.end))
        # libyaml says "" where the Python parser says None for a scalar without quotes.
        return Scalar(event.value if event.style else _resolve(event.value), span)

    def _span(self, start: Any, end: Any) -> Span:
        first = self.source.offset(start.start_mark.line, start.start_mark.column)
        last = self.source.offset(end.end_mark.line, end.end_mark.column)
        return self.source.span(first, max(first, last))

    def _refuse(self, event: Any, subject: str, help_: str) -> NoReturn:
        span = self._span(event, event)
        line_end = self.source.text.find("\n", span.start)
        end = min(span.end, line_end) if line_end >= 0 else span.end
        span = self.source.span(span.start, max(end, span.start + 1))
        raise _Refusal(FORBIDDEN_YAML.at(f"{subject} is not part of the spec language", span, help=help_))


def _resolve(text: str) -> bool | int | float | str | None:
    """Resolve a plain scalar by the YAML 1.2 core schema: `on` and `no` are words, `1e-4` is a number."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.match(text):
        # CPython refuses to parse very long integers; no size in a model has 19 digits.
        return text if len(text) >= 20 else int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.match(text):
        return float(text)
    return _INFS.get(text.lower(), text)


def _syntax_diagnostic(source: Text, error: yaml.YAMLError) -> Diagnostic:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or first_line(error)
    context = getattr(error, "context", None)
    offset = source.offset(mark.line, mark.column) if mark is not None else 0
    end = min(offset + 1, len(source.text)) if source.text[offset : offset + 1] not in ("", "\n", "\r") else offset
    message = f"{problem} ({context})" if context else str(problem)
    hint = None
    if "nesting depth" in message:  # libyaml has a bound of its own, and reads ahead to it
        return FORBIDDEN_YAML.at(message, source.span(offset, max(end, offset)), help="flatten the document")
    if "\t" in source.text[max(0, offset - 1) : offset + 1]:
        hint = "indent with spaces; YAML does not allow tabs"
    elif "mapping values are not allowed" in message:
        hint = "quote a value that contains ': ', or check the indentation of the line above"
    return YAML_SYNTAX.at(message, source.span(offset, max(end, offset)), help=hint)


def _refused(source: Text, message: str, help_: str, rule: Rule = FORBIDDEN_YAML) -> Document:
    return Document(source, None, (rule.at(message, source.span(0, 0), help_),))
