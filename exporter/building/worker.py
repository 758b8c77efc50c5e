"""The worker: a process that imports torch once, and forks a child for every job.

The worker reads one job per line from standard input and writes events, one JSON object per line, to standard output.
Whatever libraries print goes to the log. A child gives all of its memory back when it ends, and a child that is killed
leaves the worker to the next job.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import traceback
from typing import TextIO

from exporter.building.events import Ended, Event, Failed, Job, Stage, error_to_data, job_from_line, to_line
from exporter.errors import EngineError, ExporterError, describe_error
from exporter.targets.registry import find_target

_PR_SET_PDEATHSIG = 1
_PRELOADED = (
    "onnxruntime",
    "onnxscript.optimizer",
    "torch.onnx._internal.torchscript_exporter.utils",
    "transformers.activations",
    "transformers.conversion_mapping",
    "transformers.generation.utils",
    "transformers.masking_utils",
    "transformers.modeling_layers",
    "transformers.models.auto.modeling_auto",
    "exporter.building.job",
)


def main() -> None:
    """Serve jobs until standard input ends."""
    _die_with_parent()
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    _preload()
    for line in sys.stdin:
        job = job_from_line(line)
        if job.request.verify:
            # In the worker, so that its children share the runtime.
            find_target(job.request.target).start_runtime()
        if hasattr(os, "fork"):
            _run_in_child(job, events)
        else:
            _emit(events, Ended(_run(job, events)))


def _preload() -> None:
    """Import the libraries of jobs in the worker, so that each child has them from its start.

    A fork copies no threads, so no library may hold a lock at a fork: importing starts no work, and models and sessions
    are opened in the children. An import that fails is left to the job that needs it, which says so: not every target
    needs every library, and not every torch has all of these modules.
    """
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _run_in_child(job: Job, events: TextIO) -> None:
    child = os.fork()
    if child == 0:
        status = 3
        try:
            _die_with_parent()
            status = _run(job, events)
            sys.stderr.flush()
        finally:
            # A child never returns into its parent's frames: they would wait for threads that a fork does not copy.
            os._exit(status)
    _, wait_status = os.waitpid(child, 0)
    _emit(events, Ended(os.waitstatus_to_exitcode(wait_status)))


def _die_with_parent() -> None:
    """Ask the system (Linux) to end this process with its parent.

    A build must not outlive the command that asked for it.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(job: Job, events: TextIO) -> int:
    """Build in this process, write the event of the end, and return the status to leave with.

    An error that is not an `ExporterError` is a bug. The traceback of every error goes to the log.
    """
    from exporter.building.job import build_artifact  # imports torch, as the worker has by now

    try:
        _emit(events, build_artifact(job, lambda text: _emit(events, Stage(text))))
    except ExporterError as error:
        traceback.print_exc()
        _emit(events, Failed(error_to_data(error)))
    except Exception as error:
        traceback.print_exc()
        _emit(events, Failed(error_to_data(EngineError(describe_error(error)))))
    return 0


def _emit(events: TextIO, event: Event) -> None:
    print(to_line(event), file=events, flush=True)


if __name__ == "__main__":
    main()
