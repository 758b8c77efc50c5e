"""EXP7: the line that names a document's schema to editors."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporter
from exporter import api

MARK = "# yaml-language-server: $schema="


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A directory of schemas above the documents, without which nobody is asked for the line."""
    (tmp_path / "schemas").mkdir()
    return tmp_path / "schemas"


FIRST_LINES = {
    "none": ("", "the first line does not name the schema"),
    "a comment": ("# My model.\n", "the first line does not name the schema"),
    "the line below another": (f"# My model.\n{MARK}../schemas/spec.schema.json\n", "the first line does not name"),
    "another schema": (f"{MARK}../schemas/family.schema.json\n", "the first line names another schema"),
    "the schema somewhere else": (f"{MARK}schemas/spec.schema.json\n", "the first line names another schema"),
}


@pytest.mark.parametrize(("first", "message"), FIRST_LINES.values(), ids=FIRST_LINES)
def test_a_document_that_does_not_begin_with_its_schema_is_found(
    lint_text, complete, schemas: Path, first: str, message: str
):
    (finding,) = lint_text(first + complete(""))
    assert finding.rule == "missing-schema-line"
    assert finding.message.startswith(message)
    assert finding.span.text == ("" if "does not" in message else first.rstrip())
    assert finding.help.endswith(f"'{MARK}../schemas/spec.schema.json'")


@pytest.mark.parametrize("first", ["", "# My model.\n", f"{MARK}../schemas/family.schema.json\n", "\ufeff"])
def test_the_fix_writes_the_line(lint_text, complete, schemas: Path, tmp_path: Path, first: str):
    lint_text(first + complete(""))
    result, number = api.fix(lambda: exporter.lint("specs/example.yaml"))
    assert (result.passed, number) == (True, 1)
    kept = "" if first.startswith(MARK) else first.removeprefix("\ufeff")
    text = (tmp_path / "specs" / "example.yaml").read_text("utf-8-sig")
    assert text == f"{MARK}../schemas/spec.schema.json\n{kept}{complete('')}"


def test_the_line_may_end_in_spaces_and_a_windows_line_break(lint_text, complete, schemas: Path):
    assert lint_text(f"{MARK}../schemas/spec.schema.json  \r\n" + complete("").replace("\n", "\r\n")) == ()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("families/other.yaml", "family: other\n", f"{MARK}../../schemas/family.schema.json"),
        ("tasks.yaml", "kind: tasks\n", f"{MARK}../schemas/tasks.schema.json"),
        ("deep/er/builds.yaml", "kind: build\n", f"{MARK}../../../schemas/build.schema.json"),
    ],
)
def test_the_line_names_the_schema_of_the_kind_from_where_the_document_is(
    lint_text, schemas: Path, name: str, text: str, line: str
):
    # The comment keeps the keys that are missing here from being found at the same place.
    diagnostics = lint_text(f"# A comment.\n{text}", name)
    (finding,) = [finding for finding in diagnostics if finding.rule == "missing-schema-line"]
    assert finding.help == f"add '{line}'"


def test_the_nearest_schemas_are_meant(lint_text, complete, schemas: Path, tmp_path: Path):
    (tmp_path / "specs" / "schemas").mkdir(parents=True)
    (finding,) = lint_text(complete(""))
    assert finding.help == f"add '{MARK}schemas/spec.schema.json'"


def test_without_schemas_above_it_no_document_is_asked(lint_text, complete):
    assert lint_text(complete("")) == ()


def test_what_cannot_be_read_is_not_asked(lint_text, schemas: Path):
    assert [finding.rule for finding in lint_text("dims: {\n")] == ["yaml-syntax"]
