"""The report of a run as JUnit's XML, which CI servers show as tests.

The file is there from the beginning of a run, and is written anew, in one step, whenever something ended: until then a
build is an error that says so. So a run that is killed leaves no report of an earlier one, and none that looks well.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from exporter.cli.answer import Answer, Command
from exporter.errors import UsageError, first_line

# The exit code of what was found to be wrong: a failed test. Every other is an error: a request that cannot be served,
# a bug, an interruption.
_FAILED = 1
# What XML 1.0 cannot hold, and what colours a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the report: a build or a verification.

    Attributes:
        group: what it is of: an architecture.
        name: what was done.
        seconds: how long it took.
        exit_code: what the command would leave with for it alone.
        kind: the kind of error.
        message: what is wrong, in one line.
        details: all that is said about it.
    """

    group: str
    name: str
    seconds: float = 0.0
    exit_code: int = 0
    kind: str = ""
    message: str = ""
    details: str = ""

    def failing(self, exit_code: int, error: Mapping[str, Any]) -> Case:
        """Return the case as one that ended in an error, which is given as `render.machine.describe_failure` does."""
        places = [f"{each['file']}:{each['line']}:{each['column']}: {each['message']}" for each in error["findings"]]
        lines = places or [error["message"], *([f"help: {error['help']}"] if error["help"] else [])]
        message, details = first_line(error["message"]), "\n".join(lines)
        return Case(self.group, self.name, self.seconds, exit_code, error["kind"], message, details)


class JUnitReport:
    """The report of one run.

    Args:
        file: where it is written; None for no report.
        command: the command: ``build``.
    """

    def __init__(self, file: Path | None, command: str) -> None:
        self._file, self._command = file, command
        self._started = datetime.now(UTC)
        self._ended: dict[Any, Case] = {}
        self._awaited: dict[Any, Case] = {None: Case(command, f"exporter {command}")}

    @staticmethod
    def of_command(file: Path | None) -> JUnitReport:
        """Return the report of the command that runs now, which is told of the error that ends it, and write it.

        Raises:
            UsageError: the file cannot be written.
        """
        answer = Answer.current()
        report = JUnitReport(file, answer.command or "")
        answer.listener = None
        try:
            report.write()
        except OSError as error:
            raise UsageError(
                f"the report '{file}' cannot be written: {first_line(error.strerror or error)}",
                help="give --junit a file that can be written",
            ) from error
        answer.listener = report.fail if file is not None else None
        return report

    def expect(self, cases: Mapping[Any, Case]) -> None:
        """Take in what will be done, by keys of the caller's, in the place of the command as a whole."""
        self._awaited = dict(cases)
        self.write()

    def end(self, key: Any, case: Case) -> None:
        """Take in how something ended."""
        self._awaited.pop(key, None)
        self._ended[key] = case
        self.write()

    def conclude(self, cases: Iterable[Case]) -> None:
        """Take in how everything ended, at once."""
        self._awaited, self._ended = {}, dict(enumerate(cases))
        self.write()

    def fail(self, exit_code: int, error: Mapping[str, Any]) -> None:
        """Take in the error that ended the command, as that of all that had not ended."""
        awaited = self._awaited or {None: Case(self._command, f"exporter {self._command}")}
        self._ended |= {key: case.failing(exit_code, error) for key, case in awaited.items()}
        self._awaited = {}
        try:
            self.write()
        except OSError as unwritten:
            click.echo(f"warning: the report '{self._file}' cannot be written: {first_line(unwritten)}", err=True)

    def write(self) -> None:
        """Put the report in its place in one step."""
        if self._file is None:
            return
        unended: dict[str, Any] = {
            "kind": "Unended",
            "message": "did not come to its end",
            "help": None,
            "findings": [],
        }
        cases = [*self._ended.values(), *(case.failing(2, unended) for case in self._awaited.values())]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self._file.name}-", suffix=".tmp", dir=self._file.parent)
        try:
            with os.fdopen(handle, "wb") as written:
                written.write(to_xml(self._command, self._started, cases))
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_xml(command: str, started: datetime, cases: Iterable[Case]) -> bytes:
    """Return cases as JUnit's XML, in UTF-8."""
    from xml.etree import ElementTree as ET  # most commands write none

    cases = list(cases)
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.exit_code == _FAILED for case in cases)),
        "errors": str(sum(case.exit_code not in (0, _FAILED) for case in cases)),
        "skipped": "0",
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ET.Element("testsuites", {"name": "exporter", **counts})
    times = {"timestamp": started.strftime("%Y-%m-%dT%H:%M:%S")}
    suite = ET.SubElement(root, "testsuite", {"name": f"exporter {command}", **counts, **times})
    for case in cases:
        where = {"classname": _text(f"exporter.{command}.{case.group}"), "name": _text(case.name)}
        element = ET.SubElement(suite, "testcase", {**where, "time": f"{case.seconds:.3f}"})
        if case.exit_code:
            tag = "failure" if case.exit_code == _FAILED else "error"
            about = {"type": case.kind, "message": _text(case.message)}
            ET.SubElement(element, tag, about).text = _text(case.details)
        elif case.details:
            ET.SubElement(element, "system-out").text = _text(case.details)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _text(text: str) -> str:
    """Return a text without what XML cannot hold: control characters, and what stands for bytes that are no text."""
    return _NOT_XML.sub("", _COLOUR.sub("", text))


def report_failures(answer: Answer, commands: Mapping[str, click.Command]) -> None:
    """Let a report that is asked for be written for a command line that cannot be read, too."""
    command = commands.get(answer.command or "")
    if answer.junit is not None and command is not None and any(each.name == "junit" for each in command.params):
        answer.listener = JUnitReport(Path(answer.junit), str(command.name)).fail


def junit_option(command: Command) -> Command:
    """Add ``--junit``, which a command gets as ``junit``."""
    help_ = (
        "Also write what became of it into FILE, as the XML of JUnit that CI servers read: a test for each build. "
        "It is written where the run fails or is interrupted too."
    )
    return click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=help_)(command)
