"""What the tool says about a document: findings with their places, fixes, and the exception that carries them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from exporter import records
from exporter.errors import EngineError, ExporterError
from exporter.language.text import Span, Text


class Severity(Enum):
    """How much a finding matters; independent of which rule found it."""

    ERROR = "error"
    WARNING = "warning"

    def reaches(self, threshold: Severity) -> bool:
        """Tell whether it matters as much as the threshold, or more."""
        order = list(Severity)
        return order.index(self) <= order.index(threshold)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text under ``span`` by ``replacement``."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of the text that removes a finding.

    ``safe`` fixes keep the meaning of the document and are applied by ``lint --fix``; the others are only
    offered in the help line.
    """

    title: str
    edits: tuple[Edit, ...]
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that belongs to a finding, such as the first of two equal keys."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a rule, a place, what is wrong and what to do about it.

    One that ``is_bug`` says that exporter failed, and nothing of the document.
    """

    rule: str
    message: str
    span: Span
    severity: Severity = Severity.ERROR
    help: str | None = None
    labels: tuple[Label, ...] = ()
    fix: Fix | None = None
    is_bug: bool = False

    def labelled(self, span: Span, text: str) -> Diagnostic:
        """Return the finding with a second place that belongs to it, such as the first of two equal keys."""
        return dataclasses.replace(self, labels=(*self.labels, Label(span, text)))

    def spans(self) -> list[Span]:
        """Return every place the finding names: its own, those of its labels, and those its fix edits."""
        edits = self.fix.edits if self.fix is not None else ()
        return [self.span, *(label.span for label in self.labels), *(edit.span for edit in edits)]

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Order findings by file, then place, then rule, so that output never depends on rule order."""
        return (self.span.source.name, self.span.start, self.span.end, self.rule, self.message)


class SpecError(ExporterError):
    """A document has findings; ``diagnostics`` holds every one of them.

    Its exit code is that of a bug where one of them says that a rule crashed.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=Diagnostic.sort_key))
        first = self.diagnostics[0]
        more = f" (and {len(self.diagnostics) - 1} more)" if len(self.diagnostics) > 1 else ""
        super().__init__(f"{first.span.location()}: {first.message}{more}", help=first.help)
        if any(finding.is_bug for finding in self.diagnostics):
            self.exit_code = EngineError.exit_code


def diagnostics_to_data(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return findings as JSON-serialisable data, each text once however many findings are in it."""
    listed = tuple(diagnostics)
    texts = list(dict.fromkeys(span.source for finding in listed for span in finding.spans()))
    numbers = {text: number for number, text in enumerate(texts)}

    def number_spans(value: Any) -> Any:
        if isinstance(value, Span):
            return {"source": numbers[value.source], "start": value.start, "end": value.end}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: number_spans(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [number_spans(item) for item in value] if isinstance(value, tuple) else records.to_data(value)

    return {"texts": records.to_data(texts), "diagnostics": [number_spans(finding) for finding in listed]}


def diagnostics_from_data(data: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    """Return the findings that `diagnostics_to_data` was given."""
    texts = [records.from_data(Text, text) for text in data["texts"]]

    def place(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"source", "start", "end"}:
                return Span(texts[value["source"]], value["start"], value["end"])
            return {key: place(item) for key, item in value.items()}
        return [place(item) for item in value] if isinstance(value, list) else value

    return tuple(records.from_data(Diagnostic, place(finding)) for finding in data["diagnostics"])
