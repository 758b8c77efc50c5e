"""Findings as values: their order, the error that carries them, and their way to another process and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from exporter.language.diagnostics import (
    Diagnostic,
    Edit,
    Fix,
    Label,
    Severity,
    SpecError,
    diagnostics_from_data,
    diagnostics_to_data,
)
from exporter.language.text import Text

SPEC = Text("specs/example.yaml", "extends: plain\ntasks: {masked-lm: {}}\n")
FAMILY = Text("specs/families/plain.yaml", "family: plain\ntasks: {}\n")
SIMPLE = Diagnostic("unknown-family", "no family 'plain'", SPEC.span(9, 14))
FULL = Diagnostic(
    "unknown-task",
    "unknown task 'masked-lm'",
    SPEC.span(23, 32),
    Severity.WARNING,
    "write 'fill-mask'",
    (Label(FAMILY.span(14, 19), "the tasks"), Label(SPEC.span(15, 20), "picked here")),
    Fix("rename", (Edit(SPEC.span(23, 32), "fill-mask"), Edit(FAMILY.span(21, 21), "fill-mask: {}")), safe=False),
)


def test_a_finding_names_its_own_place_those_of_its_labels_and_those_its_fix_edits():
    assert SIMPLE.spans() == [SPEC.span(9, 14)]
    assert [(span.source.name, span.start) for span in FULL.spans()] == [
        (SPEC.name, 23),
        (FAMILY.name, 14),
        (SPEC.name, 15),
        (SPEC.name, 23),
        (FAMILY.name, 21),
    ]


def test_findings_are_ordered_by_file_place_rule_and_message():
    ordered = [
        Diagnostic("z", "z", Text("a.yaml", "xyz").span(2, 3)),
        Diagnostic("z", "z", Text("b.yaml", "xyz").span(0, 1)),
        Diagnostic("a", "z", Text("b.yaml", "xyz").span(0, 2)),
        Diagnostic("b", "a", Text("b.yaml", "xyz").span(0, 2)),
        Diagnostic("b", "b", Text("b.yaml", "xyz").span(0, 2)),
        Diagnostic("a", "a", Text("b.yaml", "xyz").span(1, 1)),
    ]
    shuffled = [ordered[at] for at in (4, 1, 5, 0, 3, 2)]
    assert sorted(shuffled, key=Diagnostic.sort_key) == ordered


@pytest.mark.parametrize("findings", [(), (SIMPLE,), (FULL,), (FULL, SIMPLE, FULL)], ids=len)
def test_findings_come_back_from_json_as_they_were(findings: tuple[Diagnostic, ...]):
    data = json.loads(json.dumps(diagnostics_to_data(findings)))
    assert diagnostics_from_data(data) == findings


def test_each_text_is_written_once_however_many_findings_are_in_it():
    data = diagnostics_to_data([replace(FULL, message=str(number)) for number in range(100)])
    assert [text["name"] for text in data["texts"]] == [SPEC.name, FAMILY.name]
    assert json.dumps(data).count("masked-lm: {}") == 1
    restored = diagnostics_from_data(data)
    assert len({id(span.source) for finding in restored for span in finding.spans()}) == 2


def test_a_restored_finding_knows_its_place():
    (finding,) = diagnostics_from_data(json.loads(json.dumps(diagnostics_to_data([FULL]))))
    assert finding.span.location() == "specs/example.yaml:2:9"
    assert finding.labels[0].span.text == "tasks"
    assert finding.severity is Severity.WARNING
    assert finding.fix is not None
    assert not finding.fix.safe


@pytest.mark.parametrize(
    ("change", "error"),
    [({"severity": "fatal"}, ValueError), ({"message": None}, TypeError), ({"colour": "red"}, TypeError)],
)
def test_data_that_is_no_finding_is_refused(change: dict[str, object], error: type[Exception]):
    data = diagnostics_to_data([SIMPLE])
    data["diagnostics"][0].update(change)
    with pytest.raises(error):
        diagnostics_from_data(data)


def test_the_error_says_the_first_finding_and_how_many_there_are():
    error = SpecError([FULL, SIMPLE])
    assert error.diagnostics == (SIMPLE, FULL)
    assert str(error) == "specs/example.yaml:1:10: no family 'plain' (and 1 more)"
    assert (error.help, error.exit_code) == (None, 1)
    assert str(SpecError([FULL])) == "specs/example.yaml:2:9: unknown task 'masked-lm'"
    assert SpecError([FULL]).help == "write 'fill-mask'"


def test_the_error_takes_findings_that_can_be_read_only_once():
    assert len(SpecError(iter([FULL, SIMPLE])).diagnostics) == 2
