"""What programs are answered: one JSON object that its schema describes, whatever becomes of the command."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import Result
from commands import offline_environment, read_answer

from exporter import api
from exporter.building.measuring import Measurement
from exporter.cli.answer import Answer
from exporter.cli.main import cli, main
from exporter.cli.render.machine import KINDS, to_json
from exporter.errors import CheckpointError, EngineError, UsageError
from exporter.language.schema import bundle_schema, load_schema, output_kinds
from exporter.planning import plan as plans
from exporter.verification.report import Comparison, Report

ANSWERING = sorted(
    name
    for name, command in cli.commands.items()
    if any("--json" in parameter.opts for parameter in command.params if isinstance(parameter, click.Option))
)
HEAD = ["command", "ok", "exit_code", "error"]


# Schemas


def test_every_command_that_answers_has_a_schema():
    assert {f"{name}-output" for name in ANSWERING} | {"output"} == set(output_kinds())
    assert {"build", "explain", "lint", "list", "measure", "plan", "show", "verify"} <= set(ANSWERING)


@pytest.mark.parametrize("kind", output_kinds())
def test_a_schema_is_closed_described_and_of_its_command(kind: str):
    schema = load_schema(kind)
    jsonschema.Draft202012Validator.check_schema(bundle_schema(kind))
    assert schema["$id"] == f"https://exporter.dev/schemas/{kind}.schema.json"
    assert schema["title"]
    assert schema["description"]
    assert schema["required"] == HEAD == list(schema["properties"])[:4]
    if kind == "output":
        return
    assert schema["additionalProperties"] is False
    assert schema["properties"]["command"]["const"] == kind.removesuffix("-output")
    own = list(schema["properties"])[4:]
    # An answer without an error has all that the command answers.
    assert own
    required = [branch["required"] for branch in schema["then"].get("anyOf", [schema["then"]])]
    assert [name for names in required for name in names] == own
    assert all("description" in entry or "$ref" in entry for entry in schema["properties"].values())


DESCRIBED: dict[str, Any] = {
    "plan": plans.Plan,
    "spec_file": plans.SpecFile,
    "model_plan": plans.ModelPlan,
    "head_step": plans.HeadStep,
    "recording": plans.Recording,
    "bound": plans.Bound,
    "size_plan": plans.SizePlan,
    "point": plans.Point,
    "graph_plan": plans.GraphPlan,
    "tensor_plan": plans.TensorPlan,
    "fill_plan": plans.FillPlan,
    "comparison": Comparison,
    "report": Report,
    "measurement": Measurement,
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_value_has_the_fields_that_its_schema_has(name: str):
    part = load_schema("output-defs")["$defs"][name]
    fields = [field.name for field in dataclasses.fields(DESCRIBED[name])]
    assert list(part["properties"])[: len(fields)] == fields
    assert part["required"] == list(part["properties"])
    assert part["additionalProperties"] is False


def test_every_kind_of_error_is_in_the_schema():
    failure = load_schema("output-defs")["$defs"]["failure"]
    assert set(failure["properties"]["kind"]["enum"]) == set(KINDS)


# Answers


def test_an_answer_says_what_it_is_of(invoke: Callable[..., Result]):
    answer = read_answer(invoke("list", "--json").stdout)
    assert list(answer) == [*HEAD, "architectures"]
    assert [answer[name] for name in HEAD] == ["list", True, 0, None]


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command line, and return its exit code and what it printed on standard output."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["exporter", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        return left.value.code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ANSWERING)
def test_a_command_line_that_cannot_be_read_is_answered(name: str, run_main: Callable[..., tuple[int, str]]):
    code, printed = run_main(name, "--no-such-option", "--json")
    answer = read_answer(printed, ok=False)
    assert (code, answer["exit_code"], answer["command"]) == (2, 2, name)
    assert answer["error"]["kind"] == "UsageError"
    assert "--no-such-option" in answer["error"]["message"]
    assert answer["error"]["help"] == f"'exporter {name} --help' shows what there is"


SENSELESS = ["build no-such-spec", "list no-such-folder", "frobnicate", "build bert --opset x", "lint nowhere.yaml"]


@pytest.mark.parametrize("words", [*SENSELESS, "show no-such-spec", "explain no-such-rule", "verify nowhere"])
def test_a_request_that_cannot_be_served_is_answered(words: str, run_main: Callable[..., tuple[int, str]]):
    code, printed = run_main(*words.split(), "--json")
    answer = read_answer(printed, ok=False)
    assert (code, answer["error"]["kind"]) == (2, "UsageError")
    # Without --json, standard output stays empty.
    assert run_main(*words.split()) == (2, "")


def test_a_document_with_findings_is_answered_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_main: Callable[..., tuple[int, str]]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("spec_version: 1\narchitecture: x\nextends: encoder\nfoo: 1\n", "utf-8")
    for command in ("show", "plan", "build"):
        code, printed = run_main(command, "x.yaml", "--json")
        answer = read_answer(printed, ok=False)
        assert (code, answer["command"], answer["error"]["kind"]) == (1, command, "SpecError")
        assert "unknown-key" in [finding["rule"] for finding in answer["error"]["findings"]]
    code, printed = run_main("lint", "x.yaml", "--format", "json")
    assert read_answer(printed, ok=False)["findings"] == answer["error"]["findings"]


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (UsageError("no"), 2, "UsageError"),
        (CheckpointError("no"), 1, "CheckpointError"),
        (EngineError("no"), 3, "EngineError"),
        (ZeroDivisionError("no"), 3, "EngineError"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (click.exceptions.Abort(), 130, "Interrupted"),
        (MemoryError(), 1, "ExportError"),
    ],
)
def test_an_error_is_answered(
    error: BaseException,
    code: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    run_main: Callable[..., tuple[int, str]],
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(api, "load_specs", fail)
    left, printed = run_main("list", "--json")
    answer = read_answer(printed, ok=False)
    assert (left, answer["exit_code"], answer["error"]["kind"]) == (code, code, kind)
    if isinstance(error, ZeroDivisionError):
        log = Path(answer["error"]["help"].rpartition(": ")[2])
        assert "Traceback" in log.read_text("utf-8")
        log.unlink()


def test_an_error_keeps_what_was_done_before_it(
    monkeypatch: pytest.MonkeyPatch, run_main: Callable[..., tuple[int, str]]
):
    def measure(*_: object):
        yield Measurement("bert", "fill-mask", 1e-6, 0.5, "logits", 2.0, 1e-6, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "measure", measure)
    code, printed = run_main("measure", "bert", "--json")
    answer = read_answer(printed, ok=False)
    assert (code, answer["error"]["kind"]) == (130, "Interrupted")
    assert [measurement["task"] for measurement in answer["measurements"]] == ["fill-mask"]


def test_numbers_that_are_not_finite_are_null():
    value = {"a": [math.nan, 1.5, (math.inf,)], "b": "x", "é": None}
    assert json.loads(to_json(value)) == {"a": [None, 1.5, [None]], "b": "x", "é": None}
    # What any terminal and file can hold.
    assert to_json(value).isascii()


def test_a_measurement_of_nothing_is_json(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]):
    nothing = Measurement("bert", "fill-mask", math.nan, math.nan, "", math.nan, math.nan, "it fails", 2)
    monkeypatch.setattr(api, "measure", lambda *_: iter((nothing,)))
    answer = read_answer(invoke("measure", "bert", "--json").stdout, ok=False)
    # The exit code is that of a build of the same.
    assert answer["exit_code"] == 2
    assert (answer["measurements"][0]["worst"], answer["measurements"][0]["verdict"]) == (None, "unknown")


LATE = """
import hashlib, sys
from exporter import api
from exporter.cli import main

def wait(*_):
    print("waiting", file=sys.stderr, flush=True)
    # One instruction of Python that takes minutes.
    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)

api.load_specs = wait
sys.argv = ["exporter", "list", "--json"]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_does_not_come_to_its_end_is_answered(number: signal.Signals):
    with subprocess.Popen(
        [sys.executable, "-c", LATE],
        env=offline_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        os.kill(process.pid, number)
        printed, _ = process.communicate(timeout=20)
    answer = read_answer(printed, ok=False)
    assert (process.returncode, answer["exit_code"]) == (128 + number, 128 + number)
    assert answer["error"]["kind"] == "Interrupted"


@pytest.mark.parametrize(
    ("words", "command", "wanted"),
    [
        ("build bert --json", "build", True),
        ("build bert", "build", False),
        ("-q build --json", "build", True),
        ("--json list", "list", True),
        ("lint --format json x", "lint", True),
        ("lint --format=json x", "lint", True),
        ("lint --format sarif json", "lint", False),
        ("show -- --json", "show", False),
        ("frobnicate --json", None, True),
        ("", None, False),
    ],
)
def test_a_command_line_says_whether_a_program_asks(words: str, command: str | None, wanted: bool):
    answer = Answer.of_words(words.split(), cli.commands)
    assert (answer.command, answer.wanted) == (command, wanted)


def test_an_answer_is_given_once(capsys: pytest.CaptureFixture[str]):
    answer = Answer("list", wanted=True)
    assert answer.give(0, architectures=[]) == 0
    answer.fail(130, {"kind": "Interrupted", "message": "interrupted", "help": None, "findings": []})
    assert read_answer(capsys.readouterr().out)["architectures"] == []
