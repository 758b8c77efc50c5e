"""What crosses from a worker to the pool arrives as it was sent, errors with their types and fields."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

import exporter
from exporter.building.events import (
    Built,
    Ended,
    Failed,
    Job,
    Ready,
    Stage,
    Unready,
    error_from_data,
    error_to_data,
    event_from_line,
    job_from_line,
    to_line,
)
from exporter.building.request import make_request
from exporter.errors import CheckpointError, EngineError, ExporterError, ExportError, UsageError
from exporter.language.diagnostics import Diagnostic, Edit, Fix, Label, Severity, SpecError
from exporter.language.text import Span, Text
from exporter.verification.report import Comparison, Report, VerificationError

COMPARISON = Comparison(
    "model", "logits", "check 1", {"batch": 1}, 0, (1, 2), math.inf, math.inf, math.inf, math.inf, 2, 1.5, (0, 1)
)
REPORT = Report("onnxruntime", 0.0, 1e-12, (COMPARISON,), ("a problem",), {"model": {"batch": "open"}})


def finding(text: Text) -> Diagnostic:
    span = Span(text, 0, 4)
    fix = Fix("write it", (Edit(span, "dims"),), safe=False)
    label = Label(Span(Text("other.yaml", "ünï 🙂"), 4, 5), "the first")
    return Diagnostic("unknown-dim", "no such dim", span, Severity.WARNING, "help", (label,), fix)


@pytest.mark.parametrize(
    "event",
    [
        Stage("tracing “model”\nin two lines"),
        Built(
            exporter.plan("gpt2", "causal-lm-with-past", dims={"batch": 1}),
            REPORT,
            {"model.onnx": 3},
            "GPT2LMHeadModel",
            ("2 weights are left out",),
        ),
        Built(exporter.plan("distilbert", "fill-mask"), None, {}, ""),
        Failed({"kind": "UsageError", "message": "m", "help": None}),
        Ended(-9),
        Ready(),
        Unready({"kind": "UsageError", "message": "torch cannot be imported", "help": "install it again"}),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_arrives_as_it_was_sent(event: Stage | Built | Failed | Ended):
    line = to_line(event)
    assert "\n" not in line
    assert event_from_line(line + "\n") == event


def test_a_job_arrives_as_it_was_sent():
    given = {"spec": "bert", "tasks": ("fill-mask",), "dims": {"batch": 1}, "settings": {}, "output": Path("out")}
    for more in ({}, {"model": "m", "revision": "main", "trust_remote_code": True, "atol": 1.0, "verify": False}):
        job = Job(make_request({**given, **more}), Path("staging"))
        assert job_from_line(to_line(job)) == job


@pytest.mark.parametrize("kind", [UsageError, CheckpointError, ExportError, EngineError, ExporterError])
@pytest.mark.parametrize("help_", [None, "do this"])
def test_a_plain_error_keeps_its_type_and_words(kind: type[ExporterError], help_: str | None):
    error = kind("message\nof two lines", help=help_)
    again = error_from_data(json.loads(json.dumps(error_to_data(error))))
    assert type(again) is kind
    assert (again.message, again.help, again.exit_code, str(again)) == (
        error.message,
        help_,
        error.exit_code,
        str(error),
    )


def test_an_error_of_a_kind_unknown_here_is_its_nearest_parent():
    class Special(CheckpointError):
        """Somebody's own."""

    assert type(error_from_data(error_to_data(Special("m")))) is CheckpointError


def test_a_spec_error_keeps_its_findings_and_their_places():
    text = Text("a.yaml", "abcd: 1\n")
    error = SpecError([finding(text), dataclasses.replace(finding(text), message="another")])
    again = error_from_data(json.loads(json.dumps(error_to_data(error))))
    assert isinstance(again, SpecError)
    assert again.diagnostics == error.diagnostics
    assert again.diagnostics[0].span.location() == error.diagnostics[0].span.location()
    assert (again.message, again.help) == (error.message, error.help)


def test_a_verification_error_keeps_its_report_with_infinities():
    error = VerificationError("failed", help="look", report=REPORT)
    again = error_from_data(json.loads(json.dumps(error_to_data(error))))
    assert isinstance(again, VerificationError)
    assert (again.message, again.help, again.report) == ("failed", "look", REPORT)
    assert again.report.comparisons[0].max_abs == math.inf


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"event": "Stage"}',
        '{"event": "Stage", "text": 3}',
        '{"event": "Dance", "text": "x"}',
        '{"event": "Ended", "status": 0, "more": 1}',
        '{"event": ["Stage"], "text": "x"}',
        "Segmentation fault",
        "x" * 500,
    ],
)
def test_a_torn_or_unknown_line_is_a_bug_told_in_a_line(line: str):
    for read in (event_from_line, job_from_line):
        with pytest.raises(EngineError, match="cannot be read") as failure:
            read(line)
        assert len(failure.value.message) < 500
        assert "\n" not in failure.value.message


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "Nonsense"},
        {"kind": "SpecError", "message": "", "help": None},
        {"kind": "VerificationError", "message": "m", "help": None, "report": {}},
        {"kind": "SpecError", "findings": {"texts": [], "diagnostics": []}},
    ],
)
def test_an_error_that_is_none_is_a_bug(data: dict[str, object]):
    with pytest.raises(EngineError, match="error cannot be read"):
        error_from_data(data)
