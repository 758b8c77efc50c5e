"""Findings and errors as text for people: places, carets, colours, and nothing that a terminal would obey."""

from __future__ import annotations

import pytest

from exporter.cli.render.text import render_diagnostics, render_error, render_summary, visible
from exporter.errors import ExporterError, UsageError
from exporter.language.diagnostics import Diagnostic, Edit, Fix, Label, Severity, SpecError
from exporter.language.text import Text

TEXT = Text("a.yaml", "dims:\n  batch: 1\n  batch: 2\n")
FIRST, SECOND = TEXT.span(8, 13), TEXT.span(19, 24)
FINDING = Diagnostic(
    "duplicate-key", "'batch' is given twice", SECOND, help="remove one", labels=(Label(FIRST, "first here"),)
)


def test_a_finding_shows_its_line_a_caret_and_the_other_places():
    assert render_diagnostics([FINDING]).splitlines() == [
        "error[duplicate-key]: 'batch' is given twice",
        " --> a.yaml:3:3",
        "  |",
        "3 |   batch: 2",
        "  |   ^^^^^",
        " ::: a.yaml:2:3",
        "  |",
        "2 |   batch: 1",
        "  |   ----- first here",
        "  = help: remove one",
    ]


def test_findings_are_apart_by_an_empty_line():
    assert render_diagnostics([FINDING, FINDING]).count("\n\nerror[") == 1
    assert render_diagnostics([]) == ""


def test_a_place_without_text_has_no_line():
    empty = Text("empty.yaml", "")
    assert render_diagnostics([Diagnostic("wrong-type", "it is empty", empty.span(0, 0))]).splitlines() == [
        "error[wrong-type]: it is empty",
        " --> empty.yaml:1:1",
    ]


@pytest.mark.parametrize(("severity", "code"), [(Severity.ERROR, "31"), (Severity.WARNING, "33")])
def test_colours_are_for_terminals_alone(severity: Severity, code: str):
    finding = Diagnostic("loose-tolerance", "it is loose", FIRST, severity)
    assert "\x1b" not in render_diagnostics([finding])
    coloured = render_diagnostics([finding], color=True)
    assert coloured.startswith(f"\x1b[1;{code}m{severity.value}[loose-tolerance]\x1b[0m")
    assert coloured.count("\x1b[1") == coloured.count("\x1b[0m")


def test_a_long_line_is_cut_around_the_place():
    text = Text("long.yaml", "x" * 500 + "WORD" + "y" * 500)
    *_, line, caret = render_diagnostics([Diagnostic("unknown-key", "no", text.span(500, 504))]).splitlines()
    assert len(line) < 130
    assert line.startswith("1 | …x")
    assert line.endswith("y…")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "WORD"


def test_wide_characters_take_two_columns_and_combining_ones_none():
    text = Text("wide.yaml", "日e\u0301: word")
    *_, line, caret = render_diagnostics([Diagnostic("unknown-key", "no", text.span(5, 9))]).splitlines()
    assert line == "1 | 日e\u0301: word"
    # Two columns, one and none, a colon and a space.
    assert caret == "  | " + " " * 5 + "^^^^"


def test_what_a_terminal_would_obey_is_spelled_out():
    assert visible("a\tb\x1b[31m\x07\r") == "a b\\u001b[31m\\u0007\\u000d"
    assert visible("日本 é") == "日本 é"
    text = Text("\x1b.yaml", "\x1b[31m: 1")
    shown = render_diagnostics([Diagnostic("unknown-key", "\x1b]0;", text.span(0, 5), help="\x1b")], color=False)
    assert "\x1b" not in shown


def test_errors_show_their_help_or_their_findings():
    assert render_error(UsageError("no such thing", help="look again")) == "error: no such thing\n  = help: look again"
    assert render_error(ExporterError("it failed")) == "error: it failed"
    assert render_error(SpecError([FINDING])) == render_diagnostics([FINDING])


def test_a_summary_counts_findings_by_severity_and_those_that_can_be_fixed():
    warning = Diagnostic("loose-tolerance", "it is loose", FIRST, Severity.WARNING)
    safe = Diagnostic("unknown-task", "no", FIRST, fix=Fix("rename", (Edit(FIRST, "x"),)))
    unsafe = Diagnostic("unknown-task", "no", FIRST, fix=Fix("rename", (Edit(FIRST, "x"),), safe=False))
    assert render_summary([], 1) == "1 file checked, nothing found"
    assert render_summary([warning], 2) == "2 files checked: 1 warning"
    assert render_summary([FINDING, warning, unsafe], 2) == "2 files checked: 2 errors and 1 warning"
    assert render_summary([safe, unsafe], 1) == "1 file checked: 2 errors; --fix removes 1"
