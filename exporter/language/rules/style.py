"""EXP7: how a document is written."""

from __future__ import annotations

import os
from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic, Edit, Fix
from exporter.language.findings import MISSING_SCHEMA_LINE
from exporter.language.rules.registry import Subject, check

_MARK = "# yaml-language-server: $schema="


@check(MISSING_SCHEMA_LINE)
def _missing_schema_line(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    path, source = subject.document.source.path, subject.document.source
    if path is None or subject.document.root is None:
        return
    schemas = next((parent / "schemas" for parent in path.resolve().parents if (parent / "schemas").is_dir()), None)
    if schemas is None:
        return
    schema = schemas / f"{subject.kind}.schema.json"
    line = f"{_MARK}{os.path.relpath(schema, path.resolve().parent)}"
    first = source.line(1)
    if first.strip() == line:
        return
    if first.startswith(_MARK):
        span = source.span(0, len(first))
        yield MISSING_SCHEMA_LINE.at(
            "the first line names another schema",
            span,
            f"write '{line}'",
            fix=Fix("name the schema", (Edit(span, line),)),
        )
    else:
        at = source.span(0, 0)
        yield MISSING_SCHEMA_LINE.at(
            "the first line does not name the schema",
            at,
            f"add '{line}'",
            fix=Fix("name the schema", (Edit(at, f"{line}\n"),)),
        )
