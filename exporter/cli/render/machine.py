"""Findings for programs: JSON, SARIF 2.1.0, and GitHub's workflow annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from exporter.language.diagnostics import Diagnostic, Edit, Severity
from exporter.language.findings import RULES
from exporter.language.text import Span
from exporter.versions import installed_version

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def diagnostics_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Return findings as a JSON list. Lines and columns count from 1; an end is the place after the last character."""
    return json.dumps([_finding_data(finding) for finding in diagnostics], indent=1, ensure_ascii=False)


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
    driver = {"name": "exporter", "version": version, "semanticVersion": version, "rules": rules}
    log = {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=1, ensure_ascii=False)


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
