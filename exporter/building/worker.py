"""The process that imports torch, once, and forks a child for every job.

It reads one job per line from standard input and writes events, one JSON object per line, to standard output. A child gives all of its
memory back when it ends, and one that is killed takes nothing else with it. Everything libraries print goes to the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from exporter.targets import DEFAULT_TARGET
from exporter.torch_session import start_torch_process

_PR_SET_PDEATHSIG = 1
_PRELOADED = (
    "onnxruntime", "onnxscript.optimizer", "torch.onnx._internal.torchscript_exporter.utils", "transformers.activations",
    "transformers.conversion_mapping", "transformers.generation.utils", "transformers.masking_utils", "transformers.modeling_layers",
    "transformers.models.auto.modeling_auto", "exporter.building.job",
)  # fmt: skip


def main() -> None:
    """Serve jobs until standard input ends."""
    _die_with_parent()
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    _emit(events, "ready")
    _preload()
    for line in sys.stdin:
        job = json.loads(line)
        if job["verify"] and job["options"]["target"] != DEFAULT_TARGET:
            start_torch_process()  # here, so that the children of all jobs share it
        if hasattr(os, "fork"):
            _run_in_child(job, events)
        else:
            _emit(events, "exit", status=_run(job, events))


def _preload() -> None:
    """Import in the parent what jobs need, so that a fork starts ready.

    No thread of these libraries holds a lock or a job at this point; models and sessions are opened in the children. Not every target
    needs them all, and not every torch has them: a job that misses one says so."""
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _run_in_child(job: Mapping[str, Any], events: TextIO) -> None:
    child = os.fork()
    if child == 0:
        status = 3
        try:
            _die_with_parent()
            status = _run(job, events)
            sys.stderr.flush()
        finally:
            # Whatever happened, a forked child never unwinds into what it inherited: it would wait for threads it does not have.
            os._exit(status)
    _, wait_status = os.waitpid(child, 0)
    _emit(events, "exit", status=os.waitstatus_to_exitcode(wait_status))


def _die_with_parent() -> None:
    """Ask the system (Linux) to end this process with its parent: a build must not outlive the command that asked for it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(job: Mapping[str, Any], events: TextIO) -> int:
    from exporter.building.job import Job, build_artifact
    from exporter.diagnostics import ExporterError, SpecError, VerificationError
    from exporter.report.text import render_diagnostics

    try:
        built = build_artifact(Job.from_data(job), lambda text: _emit(events, "stage", text=text))
    except ExporterError as error:
        traceback.print_exc()
        rendered = render_diagnostics(error.diagnostics) if isinstance(error, SpecError) else None
        measured = error.report if isinstance(error, VerificationError) else None
        report = measured.to_data() if measured is not None else None
        _emit(
            events, "error", kind=type(error).__name__, message=error.message, help=error.help,
            exit_code=error.exit_code, rendered=rendered, report=report,
        )  # fmt: skip
        return 0
    except Exception as error:
        traceback.print_exc()
        _emit(
            events,
            "error",
            kind="Bug",
            message=f"{type(error).__name__}: {error}",
            help=None,
            exit_code=3,
            rendered=None,
            report=None,
        )
        return 0
    _emit(
        events, "done", plan=built.plan.to_data(), report=built.report.to_data() if built.report is not None else None,
        files=dict(built.files), model_class=built.model_class,
    )  # fmt: skip
    return 0


def _emit(events: TextIO, event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}, default=_plain), file=events, flush=True)


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


if __name__ == "__main__":
    main()
