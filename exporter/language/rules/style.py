"""EXP7: how a document is written."""

from __future__ import annotations

import os
from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic, Edit, Fix, Severity
from exporter.language.rules.registry import Subject, finding, rule

_MARK = "# yaml-language-server: $schema="


@rule("EXP701", "missing-schema-line", severity=Severity.WARNING)
def missing_schema_line(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The first line does not name the document's schema, or names another. `--fix` writes it.

    **Why it is bad:** with the line, editors complete keys and underline mistakes while a spec is written. Documents outside a tree with a
    `schemas` directory are not asked for it.

    **Example:** `spec_version: 1` as the first line.

    **Use instead:** `# yaml-language-server: $schema=../schemas/spec.schema.json`
    """
    path, source = subject.document.source.path, subject.document.source
    if path is None or subject.document.root is None:
        return
    schemas = next((parent / "schemas" for parent in path.resolve().parents if (parent / "schemas").is_dir()), None)
    if schemas is None:
        return
    wanted = schemas / f"{subject.kind}.schema.json"
    line = f"{_MARK}{os.path.relpath(wanted, path.resolve().parent)}"
    first = source.line(1)
    if first.strip() == line:
        return
    if first.startswith(_MARK):
        span = source.span(0, len(first))
        yield finding(
            "the first line names another schema",
            span,
            f"write '{line}'",
            fix=Fix("name the schema", (Edit(span, line),)),
        )
    else:
        at = source.span(0, 0)
        yield finding(
            "the first line does not name the schema",
            at,
            f"add '{line}'",
            fix=Fix("name the schema", (Edit(at, f"{line}\n"),)),
        )
