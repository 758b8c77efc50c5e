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
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from exporter.artifacts.refusals import directory_size, find_broken_library, find_refusal
from exporter.building.events import (
    Ended,
    Event,
    Failed,
    Job,
    Ready,
    Stage,
    Unready,
    error_to_data,
    job_from_line,
    to_line,
)
from exporter.errors import EngineError, ExporterError, UsageError, describe_error, format_bytes
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
)
# What no job can do without.
_NEEDED = "exporter.building.job"
# Signals that end a worker and what it has started. SIGTERM is also what the system sends when the command is gone.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


def main() -> None:
    """Serve jobs until standard input ends."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    _die_with_parent(signal.SIGKILL)
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    failure = _preload()
    if failure is not None:
        _emit(events, Unready(error_to_data(failure)))
        return
    # From here on it starts processes, and lives on for as long as it takes to end them. Importing may take long to be
    # interrupted, and starts none.
    _die_with_parent(signal.SIGTERM)
    _emit(events, Ready())
    for line in sys.stdin:
        job = job_from_line(line)
        if job.request.verify:
            # In the worker, so that its children share the runtime. One that does not start is the job's to tell.
            with contextlib.suppress(Exception):
                find_target(job.request.target).start_runtime()
        if hasattr(os, "fork"):
            _run_in_child(job, events)
        else:
            _emit(events, Ended(_run(job, events)))


def _end(*_: object) -> None:
    """End the worker with all that it and its children have started: they are one group of processes."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _preload() -> ExporterError | None:
    """Import the libraries of jobs in the worker, so that each child has them from its start.

    A fork copies no threads, so no library may hold a lock at a fork: importing starts no work, and models and sessions
    are opened in the children. An import that fails is left to the job that needs it, which says so: not every target
    needs every library, and not every torch has all of these modules.

    Returns:
        Why no job can be run; None where jobs can.
    """
    for name in _PRELOADED:
        # What a broken library raises as it is imported is not known beforehand.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    try:
        importlib.import_module(_NEEDED)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return find_broken_library(error) or UsageError(
            f"exporter cannot be imported: {describe_error(error)}",
            help=f"install it again in {sys.prefix}",
        )
    return None


def _run_in_child(job: Job, events: TextIO) -> None:
    child = os.fork()
    if child == 0:
        status = 3
        try:
            for number in _ENDING:
                if signal.getsignal(number) is _end:
                    signal.signal(number, signal.SIG_DFL)
            _die_with_parent(signal.SIGKILL)
            status = _run(job, events)
            with contextlib.suppress(OSError):
                sys.stderr.flush()
        finally:
            # A child never returns into its parent's frames: they would wait for threads that a fork does not copy.
            os._exit(status)
    _, wait_status = os.waitpid(child, 0)
    shutil.rmtree(_scratch_of(child), ignore_errors=True)
    _emit(events, Ended(os.waitstatus_to_exitcode(wait_status)))


def _scratch_of(process: int) -> Path:
    """Return the directory for temporary files of a job, in that of the worker."""
    return Path(tempfile.gettempdir()) / f"job-{process}"


def _die_with_parent(number: int) -> None:
    """Ask the system (Linux) to send this process a signal when its parent ends.

    A build must not outlive the command that asked for it.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _run(job: Job, events: TextIO) -> int:
    """Build in this process, write the event of the end, and return the status to leave with.

    An error that is not an `ExporterError`, and that the machine is no reason for, is a bug. The traceback of every
    error goes to the log.
    """
    from exporter.building.job import build_artifact  # imports torch, as the worker has by now

    try:
        with _own_scratch():
            _emit(events, build_artifact(job, lambda text: _emit(events, Stage.of(text))))
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        refusal = find_refusal(error, (job.staging, Path(tempfile.gettempdir())), needed=_needs(job))
        told = error if isinstance(error, ExporterError) else EngineError(describe_error(error))
        _emit(events, Failed(error_to_data(refusal or told)))
    return 0


@contextlib.contextmanager
def _own_scratch() -> Iterator[None]:
    """Let temporary files of a job, of its libraries and of what they start go to a directory that ends with the job.

    The worker removes it where the job's process is killed.
    """
    scratch = _scratch_of(os.getpid())
    scratch.mkdir()
    before, environment = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
    try:
        yield
    finally:
        tempfile.tempdir = before
        if environment is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = environment
        shutil.rmtree(scratch, ignore_errors=True)


def _needs(job: Job) -> str:
    """Return what is known of the room that an artifact needs: what was written of it, and the size of its source."""
    written = f"{format_bytes(directory_size(job.staging))} of the artifact were written"
    model = Path(job.request.source.name) if job.request.source is not None else None
    if model is None or not model.is_dir():
        return written
    return f"{written}, and the checkpoint it is made from takes {format_bytes(directory_size(model))}"


def _emit(events: TextIO, event: Event) -> None:
    print(to_line(event), file=events, flush=True)


if __name__ == "__main__":
    main()
