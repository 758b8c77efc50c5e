"""Findings as text: the line, a caret under the culprit, and what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from exporter.errors import ExporterError
from exporter.language.diagnostics import Diagnostic, Label, Severity, SpecError
from exporter.language.findings import TOO_MANY_FINDINGS
from exporter.language.text import Span

_WIDTH = 120
_ELLIPSIS = "…"
_COLORS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m"}
_BOLD, _BLUE, _RESET = "\x1b[1m", "\x1b[1;34m", "\x1b[0m"


def render_diagnostics(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """Return findings as text, an empty line between them."""
    return "\n\n".join("\n".join(_render(finding, color)) for finding in diagnostics)


def render_error(error: ExporterError, *, color: bool = False) -> str:
    """Return an error as a person reads it: the message and the help, or findings with their lines and carets."""
    if isinstance(error, SpecError):
        return render_diagnostics(error.diagnostics, color=color)
    head = f"{_COLORS[Severity.ERROR]}error{_RESET}{_BOLD}: " if color else "error: "
    return f"{head}{error.message}{_RESET if color else ''}" + (f"\n  = help: {error.help}" if error.help else "")


def render_summary(diagnostics: Iterable[Diagnostic], files: int, count: int = 0) -> str:
    """Return one line that says how many findings there are.

    Args:
        diagnostics: the findings that are listed.
        files: how many files were linted.
        count: how many findings there are, where not all are listed.
    """
    findings = [finding for finding in diagnostics if finding.rule != TOO_MANY_FINDINGS.name]
    checked = f"{files} file" + ("s" if files != 1 else "")
    if not findings:
        return f"{checked} checked, nothing found"
    counts = [(sum(finding.severity is severity for finding in findings), severity.value) for severity in Severity]
    text = " and ".join(f"{count} {word}" + ("s" if count != 1 else "") for count, word in counts if count)
    fixable = sum(finding.fix is not None and finding.fix.safe for finding in findings)
    more = f", and {count - len(findings):,} more that are not listed" if count > len(findings) else ""
    return f"{checked} checked: {text}{more}" + (f"; --fix removes {fixable}" if fixable else "")


def _render(finding: Diagnostic, color: bool) -> Iterator[str]:
    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    head = paint(_COLORS[finding.severity], f"{finding.severity.value}[{finding.rule}]")
    yield f"{head}{paint(_BOLD, f': {visible(finding.message)}')}"
    places = [Label(finding.span, ""), *finding.labels]
    width = max(len(str(label.span.line)) for label in places)
    bar = paint(_BLUE, "|")
    for index, label in enumerate(places):
        arrow = paint(_BLUE, "-->" if index == 0 else ":::")
        yield f"{' ' * width}{arrow} {visible(label.span.location())}"
        line, caret = _snippet(label.span, "^" if index == 0 else "-")
        if not line.strip():
            continue
        yield f"{' ' * width} {bar}"
        yield f"{paint(_BLUE, str(label.span.line).rjust(width))} {bar} {line}".rstrip()
        yield f"{' ' * width} {bar} {paint(_COLORS[finding.severity], caret)}" + (
            f" {label.text}" if label.text else ""
        )
    if finding.help:
        yield f"{' ' * width} {paint(_BLUE, '=')} help: {visible(finding.help)}"


def _snippet(span: Span, mark: str) -> tuple[str, str]:
    """Return the first line of a span, cut to a readable width, and carets under the span's part of it."""
    text = span.source.line(span.line)
    start = span.column - 1
    end = max(min(start + span.end - span.start, len(text)), start + 1)
    if len(text) > _WIDTH:
        first = max(0, min(start - _WIDTH // 3, len(text) - _WIDTH))
        cut = text[first : first + _WIDTH]
        before, after = (_ELLIPSIS if first else ""), (_ELLIPSIS if first + _WIDTH < len(text) else "")
        text, start, end = f"{before}{cut}{after}", start - first + len(before), min(end - first, _WIDTH) + len(before)
    shown = visible(text)
    return shown, " " * _columns(visible(text[:start])) + mark * max(_columns(visible(text[start:end])), 1)


def _columns(text: str) -> int:
    """Return how many terminal columns a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def visible(text: str) -> str:
    """Return a text that cannot move the cursor or colour the terminal.

    Tabs become spaces, control characters are spelled out: an escape is ``\\u001b``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char == "\t" else f"\\u{ord(char):04x}" for char in text)


def clock_text(seconds: float) -> str:
    """Return a time as clocks show it: ``0:42``, or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
