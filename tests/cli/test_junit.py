"""What CI servers read of a run: one file, well formed and whole, whatever becomes of the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from artifact_files import occupy
from click.testing import Result
from commands import offline_environment

from exporter import api
from exporter.building.pool import Outcome
from exporter.building.requests import Build
from exporter.cli.junit import Case, JUnitReport, to_xml
from exporter.cli.main import main
from exporter.errors import CheckpointError, EngineError, ExporterError, UsageError

# The attributes and elements that CI servers know.
_KNOWN = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"classname", "name", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "system-out": set(),
}


def read(file: Path) -> list[ET.Element]:
    """Return the tests of a report, which is whole, alone, of known parts, and counts right."""
    root = ET.parse(file).getroot()
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    for element in root.iter():
        assert set(element.attrib) == _KNOWN[element.tag]
    cases = list(suite)
    for counted in (root, suite):
        assert int(counted.attrib["tests"]) == len(cases)
        assert int(counted.attrib["failures"]) == sum(case.find("failure") is not None for case in cases)
        assert int(counted.attrib["errors"]) == sum(case.find("error") is not None for case in cases)
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    assert not list(file.parent.glob("*.tmp"))
    assert not list(file.parent.glob(".*.tmp"))
    return cases


def ending(case: ET.Element) -> tuple[str, str]:
    """Return how a test ended, and what is said of it in a line."""
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return kind, found.attrib["message"]
    return "passed", ""


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run the command line in a directory of its own, and return its exit code."""
    monkeypatch.chdir(tmp_path)

    def leave(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["exporter", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        return left.value.code

    return leave


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch, built: Outcome) -> Callable[..., None]:
    """Let builds end in errors, or well where it is None; and the run in what is ``raised`` after them."""

    def endings(*errors: ExporterError | None, raised: BaseException | None = None) -> None:
        def run(builds: list[Build], *_: Any) -> Iterator[Outcome]:
            for build, error in zip(builds, errors, strict=False):
                yield replace(built, build=build, error=error)
            if raised is not None:
                raise raised

        monkeypatch.setattr(api, "run_requests", run)

    return endings


_TASKS = ("build", "bert", "--task", "fill-mask,ner,text-classification", "--junit", "reports/junit.xml")


def test_a_build_is_a_test_and_its_exit_code_says_how_it_ended(
    leave: Callable[..., int], endings: Callable[..., None], tmp_path: Path
):
    endings(None, CheckpointError("a weight\nis missing", help="save it again"), UsageError("no room"))
    assert leave(*_TASKS) == 2
    cases = read(tmp_path / "reports" / "junit.xml")
    assert [ending(case) for case in cases] == [("passed", ""), ("failure", "a weight"), ("error", "no room")]
    assert [case.get("name") for case in cases] == [
        f"{task} onnx → {Path('artifacts/bert') / task}"
        for task in ("fill-mask", "token-classification", "text-classification")
    ]
    assert {case.get("classname") for case in cases} == {"exporter.build.bert"}
    assert {case.get("time") for case in cases} == {"2.345"}
    assert "verified, largest difference" in (cases[0].findtext("system-out") or "")
    failure = cases[1].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.text) == ("CheckpointError", "a weight\nis missing\nhelp: save it again")


def test_a_bug_is_an_error(leave: Callable[..., int], endings: Callable[..., None], tmp_path: Path):
    endings(EngineError("a bug in exporter"), None, None)
    assert leave(*_TASKS) == 3
    assert ending(read(tmp_path / "reports" / "junit.xml")[0]) == ("error", "a bug in exporter")


@pytest.mark.parametrize(
    ("raised", "ended"),
    [
        (KeyboardInterrupt(), (130, "interrupted")),
        (UsageError("no worker can be started"), (2, "no worker can be started")),
        (ZeroDivisionError("oh"), (3, "a bug in exporter: ZeroDivisionError: oh")),
    ],
)
def test_what_had_not_ended_when_the_run_did_is_an_error(
    raised: BaseException,
    ended: tuple[int, str],
    leave: Callable[..., int],
    endings: Callable[..., None],
    tmp_path: Path,
):
    code, told = ended
    endings(None, raised=raised)
    assert leave(*_TASKS) == code
    cases = [ending(case) for case in read(tmp_path / "reports" / "junit.xml")]
    assert cases == [("passed", ""), ("error", told), ("error", told)]


@pytest.mark.parametrize(
    "words",
    [
        "build no-such-spec",
        "build bert --opset x",
        "build bert --no-such-option",
        "verify nowhere",
        "build --junit j.xml",
    ],
)
def test_a_request_that_cannot_be_served_is_an_error_in_the_place_of_an_earlier_report(
    words: str, leave: Callable[..., int], tmp_path: Path
):
    report = tmp_path / "j.xml"
    report.write_text("an earlier report", "utf-8")
    assert leave(*words.split(), *(["--junit", "j.xml"] if "--junit" not in words else [])) == 2
    (case,) = read(report)
    assert ending(case)[0] == "error"


def test_a_build_in_a_dry_run_is_a_test(leave: Callable[..., int], tmp_path: Path):
    assert leave("build", "bert", "no-such-spec", "--task", "ner", "--dry-run", "--junit", "j.xml") == 2
    assert [ending(case)[0] for case in read(tmp_path / "j.xml")] == ["passed", "error"]


def test_a_verification_is_a_test(
    leave: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Any
):
    occupy(tmp_path / "artifact")
    monkeypatch.setattr(api, "verify", lambda *_, **__: report)
    assert leave("verify", "artifact", "--junit", "j.xml") == 0
    (case,) = read(tmp_path / "j.xml")
    assert (case.get("classname"), case.get("name"), ending(case)) == (
        "exporter.verify.artifact",
        "artifact",
        ("passed", ""),
    )
    bad = replace(report, problems=("model.onnx: an input is missing",))
    monkeypatch.setattr(api, "verify", lambda *_, **__: bad)
    assert leave("verify", "artifact", "--junit", "j.xml") == 1
    (case,) = read(tmp_path / "j.xml")
    assert ending(case) == ("failure", "model.onnx: an input is missing")


def test_a_report_that_cannot_be_written_is_told_before_any_work(refuse: Callable[..., str], tmp_path: Path):
    (tmp_path / "file").write_text("", "utf-8")
    said = refuse(2, "build", "bert", "--junit", "file/report.xml")
    assert "the report 'file/report.xml' cannot be written" in said
    assert "Invalid value for '--junit'" in refuse(2, "build", "bert", "--junit", ".")


def test_what_xml_cannot_hold_is_left_out():
    text = "\x1b[31mred\x1b[0m \x00\x08 <&\"' \ud800 \ufffe é 𝄞 ]]> \u2028"
    case = Case("a", text, exit_code=1, kind="UsageError", message=text, details=text)
    (found,) = ET.fromstring(to_xml("build", datetime.now(UTC), [case])).iter("testcase")
    failure = found.find("failure")
    assert failure is not None
    assert found.get("name") == failure.get("message") == failure.text == "red  <&\"'   é 𝄞 ]]> \u2028"


def test_a_run_that_is_killed_leaves_a_report_that_says_so(tmp_path: Path):
    report = JUnitReport(tmp_path / "j.xml", "build")
    report.write()
    assert ending(read(tmp_path / "j.xml")[0]) == ("error", "did not come to its end")
    report.expect({1: Case("bert", "a"), 2: Case("bert", "b")})
    report.end(1, Case("bert", "a", 1.5))
    assert [ending(case)[0] for case in read(tmp_path / "j.xml")] == ["passed", "error"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "j.xml").stat().st_mode & 0o777 == 0o666 & ~mask


_WAITING = """
import sys, time
from exporter import api
from exporter.cli.main import main

def wait(*_):
    print("waiting", file=sys.stderr, flush=True)
    time.sleep(30)
    yield

api.run_requests = wait
sys.argv = ["exporter", "build", "bert", "--task", "ner", "--junit", "j.xml"]
main()
"""


def test_a_signal_is_in_the_report(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", _WAITING],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=offline_environment(),
    ) as process:
        assert process.stderr is not None
        while process.stderr.readline() != "waiting\n":
            pass
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143
    assert [ending(case) for case in read(tmp_path / "j.xml")] == [("error", "ended by SIGTERM")]


def test_without_the_option_nothing_is_written(invoke: Callable[..., Result], tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    assert invoke("build", "bert", "--task", "ner", "--dry-run").return_value == 0
    assert list(tmp_path.iterdir()) == []
