"""The jobs that the pool sends to a worker and the events it gets back, one JSON object per line.

An error arrives with the type and the fields it was raised with: a `SpecError` has its findings, whose places can still
be shown in the text of the spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import records
from exporter.building.request import Request
from exporter.errors import CheckpointError, EngineError, ExporterError, ExportError, UsageError, describe_error
from exporter.language.diagnostics import SpecError, diagnostics_from_data, diagnostics_to_data
from exporter.models.checkpoints import LeftBehind
from exporter.planning.plan import Plan
from exporter.steps import Step
from exporter.verification.report import Report, VerificationError


@dataclass(frozen=True, slots=True)
class Job:
    """The work of a worker: a request for one task and one target, and the directory the artifact is made in."""

    request: Request
    staging: Path


@dataclass(frozen=True, slots=True)
class Stage:
    """The step a job has come to, in a few words: ``loading the model``.

    Attributes:
        text: the words.
        done: how many parts of the step are done.
        total: how many there are; 0 where they are not counted.
    """

    text: str
    done: int = 0
    total: int = 0

    @staticmethod
    def of(text: str) -> Stage:
        """Return the stage that a progress function is told of."""
        return Stage(str(text), getattr(text, "done", 0), getattr(text, "total", 0))

    @property
    def step(self) -> Step:
        """What a progress function is told."""
        return Step(self.text, self.done, self.total)


@dataclass(frozen=True, slots=True)
class Built:
    """The artifact of a job.

    Attributes:
        plan: the plan it was built from.
        report: the report of its verification; None where it was not verified.
        files: the size of each file, in bytes.
        model_class: the class of the model that was recorded.
        remarks: what its reader must know of how the checkpoint was taken, in one line each.
        left: the files of the checkpoint that are not beside the graph.
    """

    plan: Plan
    report: Report | None
    files: Mapping[str, int]
    model_class: str
    remarks: tuple[str, ...] = ()
    left: tuple[LeftBehind, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed; ``error`` is what `error_to_data` made of the error."""

    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The process of a job ended. A negative status is the signal that killed the process: -9 is SIGKILL."""

    status: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has imported what jobs need, and waits for the first."""


@dataclass(frozen=True, slots=True)
class Unready:
    """The worker cannot import what every job needs; ``error`` is what `error_to_data` made of the error."""

    error: Mapping[str, Any]


Event = Stage | Built | Failed | Ended | Ready | Unready
_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in (Stage, Built, Failed, Ended, Ready, Unready)}
_JOBS: dict[str, Any] = {Job.__name__: Job}
# An error about a line that cannot be read shows this many characters of the line.
_SHOWN = 80
_ERRORS = {kind.__name__: kind for kind in (UsageError, CheckpointError, ExportError, EngineError, ExporterError)}


def to_line(value: Event | Job) -> str:
    """Return an event or a job as a line of JSON, without its end."""
    return json.dumps({"event": type(value).__name__, **records.to_data(value)})


def event_from_line(line: str) -> Event:
    """Return the event of a line.

    Raises:
        EngineError: the line is torn, or is not an event.
    """
    event: Event = _read_line(line, _EVENTS)
    return event


def job_from_line(line: str) -> Job:
    """Return the job of a line.

    Raises:
        EngineError: the line is torn, or is not a job.
    """
    job: Job = _read_line(line, _JOBS)
    return job


def _read_line(line: str, kinds: Mapping[str, Any]) -> Any:
    try:
        data = json.loads(line)
        kind = kinds[data.pop("event")]
        return records.from_data(kind, data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EngineError(
            f"a line between the command and its worker cannot be read: {line.strip()[:_SHOWN]!r} "
            f"({describe_error(error)})"
        ) from error


def error_to_data(error: ExporterError) -> dict[str, Any]:
    """Return an error as JSON-serialisable data, with the findings or the report it carries."""
    kind = next(parent.__name__ for parent in type(error).__mro__ if parent.__name__ in _ERRORS)
    data: dict[str, Any] = {"kind": kind, "message": error.message, "help": error.help}
    if isinstance(error, SpecError):
        return {**data, "kind": SpecError.__name__, "findings": diagnostics_to_data(error.diagnostics)}
    if isinstance(error, VerificationError):
        return {**data, "kind": VerificationError.__name__, "report": error.report.to_data()}
    return data


def error_from_data(data: Mapping[str, Any]) -> ExporterError:
    """Return the error that `error_to_data` was given.

    Raises:
        EngineError: the data is not that of an error.
    """
    try:
        if data["kind"] == SpecError.__name__:
            return SpecError(diagnostics_from_data(data["findings"]))
        if data["kind"] == VerificationError.__name__:
            return VerificationError(data["message"], help=data["help"], report=Report.from_data(data["report"]))
        return _ERRORS[data["kind"]](data["message"], help=data["help"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise EngineError(f"a worker's error cannot be read: {describe_error(error)}") from error
