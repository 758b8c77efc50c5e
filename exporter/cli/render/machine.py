"""Findings and errors for programs: data for JSON, SARIF 2.1.0, and GitHub's workflow annotations."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from exporter.errors import CheckpointError, EngineError, ExporterError, ExportError, UsageError
from exporter.language.diagnostics import Diagnostic, Edit, Severity, SpecError
from exporter.language.findings import RULES, TOO_MANY_FINDINGS
from exporter.language.text import Span
from exporter.versions import installed_version

if TYPE_CHECKING:
    from exporter.language.linting import LintResult

INTERRUPTED = "Interrupted"
VERIFICATION = "VerificationError"
# The kinds of errors that programs are told, in `output-defs.schema.json` too.
KINDS = (
    *(kind.__name__ for kind in (UsageError, SpecError, CheckpointError, ExportError, EngineError, ExporterError)),
    VERIFICATION,
    INTERRUPTED,
)
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
# Where people read of the program and of a rule.
HOME_PAGE = "https://exporter.dev"
RULES_PAGE = "https://github.com/exporter-dev/exporter/tree/main/docs/rules.md"
# What a program may compare versions by.
_SEMANTIC = re.compile(r"\d+\.\d+\.\d+(?:[-+][\w.+-]+)?")


def to_json(value: Any) -> str:
    """Return a value as JSON that every reader reads: in ASCII, and with null for a number that is not finite."""
    try:
        return json.dumps(value, indent=1, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_failure(error: ExporterError | click.ClickException) -> dict[str, Any]:
    """Return an error as data: its kind, what it says, what to do about it, and its findings if it has some."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        help_ = f"'{context.command_path} --help' shows what there is" if context is not None else None
        return error_data(UsageError.__name__, error.format_message(), help_)
    findings = findings_data(error.diagnostics) if isinstance(error, SpecError) else []
    return {**error_data(kind_of(error), error.message, error.help), "findings": findings}


def error_data(kind: str, message: str, help: str | None = None) -> dict[str, Any]:
    """Return an error without findings as data."""
    return {"kind": kind, "message": message, "help": help, "findings": []}


def kind_of(error: ExporterError) -> str:
    """Return the kind of an error that programs are told: that of the nearest class in `KINDS`."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in KINDS)


def findings_data(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Return findings as data. Lines and columns count from 1; an end is the place after the last character."""
    return [_finding_data(finding) for finding in diagnostics]


def lint_data(result: LintResult, fixed: int) -> dict[str, Any]:
    """Return what a run of the linter found as data.

    Args:
        result: the findings.
        fixed: how many were removed by fixes.
    """
    listed = [finding.severity for finding in result.diagnostics if finding.rule != TOO_MANY_FINDINGS.name]
    return {
        "files": list(result.files),
        "findings": findings_data(result.diagnostics),
        "count": result.count,
        "errors": listed.count(Severity.ERROR),
        "warnings": listed.count(Severity.WARNING),
        "fixed": fixed,
    }


def _finding_data(finding: Diagnostic) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "code": RULES[finding.rule].code,
        "severity": finding.severity.value,
        "message": finding.message,
        "help": finding.help,
        **_place(finding.span),
        "labels": [{"message": label.text, **_place(label.span)} for label in finding.labels],
        "fix": {"title": finding.fix.title, "safe": finding.fix.safe, "edits": list(map(_edit_data, finding.fix.edits))}
        if finding.fix is not None
        else None,
    }


def _place(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.end)
    return {"file": span.source.name, "line": span.line, "column": span.column, "end_line": line, "end_column": column}


def _edit_data(edit: Edit) -> dict[str, Any]:
    return {**_place(edit.span), "replacement": edit.replacement}


def diagnostics_sarif(diagnostics: Iterable[Diagnostic]) -> str:
    """Return findings as a SARIF 2.1.0 log, for code scanning."""
    findings = list(diagnostics)
    names = sorted({finding.rule for finding in findings})
    rules = [
        {
            "id": name,
            "name": RULES[name].code,
            "shortDescription": {"text": RULES[name].page.split("\n\n", 1)[0].replace("\n", " ")},
            "fullDescription": {"text": RULES[name].page},
            "help": {"text": RULES[name].page, "markdown": RULES[name].page},
            "helpUri": f"{RULES_PAGE}#{name}",
            "defaultConfiguration": {"level": RULES[name].severity.value},
        }
        for name in names
    ]
    results = [
        {
            "ruleId": finding.rule,
            "ruleIndex": names.index(finding.rule),
            "level": finding.severity.value,
            "message": {"text": finding.message + (f" ({finding.help})" if finding.help else "")},
            "locations": [_location(finding.span)],
            "relatedLocations": [
                {"id": index, "message": {"text": label.text}, **_location(label.span)}
                for index, label in enumerate(finding.labels)
            ],
        }
        for finding in findings
    ]
    version = installed_version()
    driver = {
        "name": "exporter",
        "informationUri": HOME_PAGE,
        "version": version,
        **({"semanticVersion": version} if _SEMANTIC.fullmatch(version) else {}),
        "rules": rules,
    }
    invocation = {"executionSuccessful": not any(finding.is_bug for finding in findings)}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    log = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1)


def _location(span: Span) -> dict[str, Any]:
    place = _place(span)
    region = {
        "startLine": place["line"],
        "startColumn": place["column"],
        "endLine": place["end_line"],
        "endColumn": place["end_column"],
    }
    return {"physicalLocation": {"artifactLocation": {"uri": quote(place["file"])}, "region": region}}


def diagnostics_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Return findings as workflow commands, which GitHub shows beside the changed lines."""
    return "\n".join(_commands(diagnostics))


def _commands(diagnostics: Iterable[Diagnostic]) -> Iterator[str]:
    for finding in diagnostics:
        place = _place(finding.span)
        kind = "error" if finding.severity is Severity.ERROR else "warning"
        fields = {
            "file": place["file"],
            "line": place["line"],
            "endLine": place["end_line"],
            "col": place["column"],
            "endColumn": place["end_column"],
            "title": finding.rule,
        }
        shown = ",".join(f"{name}={_escape(str(value), ':,')}" for name, value in fields.items())
        yield f"::{kind} {shown}::{_escape(finding.message + (f' ({finding.help})' if finding.help else ''))}"


def _escape(text: str, also: str = "") -> str:
    """Return a text without the characters that end a workflow command, and without those of ``also``."""
    for char in "%\r\n" + also:
        text = text.replace(char, f"%{ord(char):02X}")
    return text
