"""What the tool says about a mistake: diagnostics, fixes, and the exceptions that carry them.

The exception tree, with the exit code the command line gives each::

    ExporterError
    ├── UsageError          2   the request itself cannot be served: unknown task, opset 9, missing path
    ├── SpecError           1   a spec, family or build file has findings; carries the diagnostics
    ├── CheckpointError     1   weights or config are missing, wrong, truncated or refused
    ├── ExportError         1   the model or the tracer failed on a good request
    └── VerificationError   1   the artifact does not compute what PyTorch computes; carries the report
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.source import Span
    from exporter.verification import Report


class Severity(Enum):
    """How much a finding matters; independent of which rule found it."""

    ERROR = "error"
    WARNING = "warning"


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
    """One finding: a rule, a place, what is wrong and what to do about it."""

    rule: str
    message: str
    span: Span
    severity: Severity = Severity.ERROR
    help: str | None = None
    labels: tuple[Label, ...] = ()
    fix: Fix | None = None

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Order findings by file, then place, then rule, so that output never depends on rule order."""
        return (self.span.source.name, self.span.start, self.span.end, self.rule, self.message)


class ExporterError(Exception):
    """A failure whose message is meant for the person at the terminal."""

    exit_code = 1

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class UsageError(ExporterError):
    """The request cannot be served as asked."""

    exit_code = 2


class SpecError(ExporterError):
    """A document has findings; ``diagnostics`` holds every one of them."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=Diagnostic.sort_key))
        first = self.diagnostics[0]
        more = f" (and {len(self.diagnostics) - 1} more)" if len(self.diagnostics) > 1 else ""
        super().__init__(f"{first.span.location()}: {first.message}{more}", help=first.help)


class CheckpointError(ExporterError):
    """A checkpoint is missing something, holds the wrong thing, or cannot be read."""


class ExportError(ExporterError):
    """The model or the tracer failed."""


class VerificationError(ExporterError):
    """The artifact's numbers or structure differ from the model's; ``report`` is what was measured."""

    report: Report | None = None


def did_you_mean(word: str, candidates: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """Return ``did you mean 'x'?`` for the nearest candidate, else ``otherwise`` listing what is possible."""
    names = sorted(candidates)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if otherwise is not None and names:
        return f"{otherwise}: {', '.join(names)}"
    return None
