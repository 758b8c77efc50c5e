"""Verify in a process of its own, so that what a stranger's graph does to a runtime ends that process alone.

A graph that no check finds fault with may still crash the library that runs it, ask for all of the memory, or never
end. The command then says so, and leaves as after any verification that failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from exporter.cli.ending import THREAD, forget_ending
from exporter.errors import ExporterError, ExportError, describe_error
from exporter.steps import Progress

if TYPE_CHECKING:
    from exporter.verification.report import Report

_PR_SET_PDEATHSIG = 1
# What every artifact is given, and more for each megabyte of its files.
_SECONDS, _SECONDS_PER_MEGABYTE = 600.0, 1.0
_LEAST_MEMORY = 8 << 30
_BLOCK = 1 << 16
# Libraries that start threads, of which a fork has no copy.
_THREADED = ("torch", "onnxruntime", "openvino")
_HELP = "ask whoever made the artifact where its graphs ran, or build it again from its checkpoint"


class ContainedBugError(Exception):
    """A bug of exporter, met in the child; its traceback is a note of this error."""


def verify_contained(
    verify: Callable[[Progress], Report],
    directory: Path,
    *,
    limited: bool,
    progress: Progress = lambda _: None,
    heard: Callable[[str], None] = lambda _: None,
) -> Report:
    """Return what a verification finds, which is run in a child of this process.

    It is run in this process where no process can be forked, or where libraries are loaded that do not survive it.

    Args:
        verify: the verification, which tells of its steps.
        directory: the artifact, whose size says how long the child may take.
        limited: whether the child is ended when it takes longer, and refused more memory than there is.
        progress: told of each step.
        heard: told at the end what libraries printed, if they did.

    Raises:
        ExporterError: as the verification raises, or the child was killed, or took too long.
        ContainedBugError: the verification raised anything else.
    """
    if not hasattr(os, "fork") or _has_threads():
        return verify(progress)
    seconds = _time_limit(directory) if limited else None
    sys.stdout.flush()
    sys.stderr.flush()
    source, sink = os.pipe()
    with _open_log() as log:
        child = _fork()
        if child == 0:
            os.close(source)
            _serve(verify, sink, log, limited=limited)
        os.close(sink)
        try:
            progress("opening the artifact")
            answer = _receive(source, seconds, progress)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        finally:
            os.close(source)
            heard(_read_log(log))
    return _read(answer, status)


def _has_threads() -> bool:
    """Tell whether threads may be at work, of which a child would have no copy."""
    threads = [thread for thread in threading.enumerate() if thread.name != THREAD]
    return len(threads) > 1 or any(name in sys.modules for name in _THREADED)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns of every thread. The one that there is waits for a signal.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@contextlib.contextmanager
def _open_log() -> Iterator[IO[bytes] | None]:
    """Open a file without a name for what libraries print; None where there is no room for one."""
    try:
        log: IO[bytes] | None = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        log = None
    with log or contextlib.nullcontext():
        yield log


def _read_log(log: IO[bytes] | None) -> str:
    if log is None:
        return ""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), _BLOCK, max(size - _BLOCK, 0)).decode("utf-8", "backslashreplace")


def _time_limit(directory: Path) -> float:
    size = 0
    with contextlib.suppress(OSError):
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return _SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6


def _serve(verify: Callable[[Progress], Report], sink: int, log: IO[bytes] | None, *, limited: bool) -> None:
    """Verify, write each step and then the report or the error to a pipe, a line each, and end this process."""
    from exporter.artifacts.refusals import find_broken_library, find_refusal
    from exporter.building.events import Stage, error_to_data, to_line

    status = 1
    try:
        forget_ending()
        if log is not None:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        _limit(memory=limited)
        file = os.fdopen(sink, "w", buffering=1, encoding="utf-8")
        try:
            report = verify(lambda text: print(to_line(Stage.of(text)), file=file, flush=True))
            answer: dict[str, Any] = {"report": report.to_data()}
        except Exception as error:
            refusal = find_refusal(error) or find_broken_library(error)
            failure = error if isinstance(error, ExporterError) else refusal
            bug = [describe_error(error), "".join(traceback.format_exception(error))]
            answer = {"bug": bug} if failure is None else {"error": error_to_data(failure)}
        with file:
            print(json.dumps(answer), file=file)
        status = 0
    except KeyboardInterrupt:
        # The parent is interrupted too, and says so.
        status = 130
    finally:
        # What was started to run programs ends with this process, which never returns into its parent's frames.
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _limit(*, memory: bool) -> None:
    """End with the parent (Linux), leave no core behind, and allocate no more than the machine has."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            there_is = max(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _LEAST_MEMORY)
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (there_is if most < 0 else min(there_is, most), most))


def _receive(source: int, seconds: float | None, progress: Progress) -> bytes:
    """Tell of a child's steps, and return the last line it wrote until it closed its pipe: its answer.

    Raises:
        ExportError: it took longer than it may.
    """
    from exporter.building.events import Stage, event_from_line

    start = time.monotonic()
    answer = rest_of_line = b""
    while True:
        rest = None if seconds is None else max(seconds - (time.monotonic() - start), 0.0)
        if not select.select([source], [], [], rest)[0]:
            raise ExportError(f"the artifact's graphs did not end in {seconds:.0f} seconds", help=_HELP)
        block = os.read(source, _BLOCK)
        if not block:
            return answer
        *lines, rest_of_line = (rest_of_line + block).split(b"\n")
        for line in lines:
            if not line.startswith(b'{"event": '):
                answer = line
            elif isinstance(event := event_from_line(line.decode()), Stage):
                progress(event.step)


def _read(answer: bytes, status: int) -> Report:
    """Return the report of a child, or raise what the child raised, or why it gave no answer."""
    from exporter.building.events import error_from_data
    from exporter.verification.report import Report

    if status < 0:
        known = -status in set(signal.Signals)
        reason = signal.Signals(-status).name if known else f"signal {-status}"
        memory = ", as happens where memory runs out" if -status == signal.SIGKILL else ""
        raise ExportError(f"the process that ran the artifact's graphs was ended by {reason}{memory}", help=_HELP)
    if status != 0:
        raise ExportError(f"the process that ran the artifact's graphs ended with status {status}", help=_HELP)
    data = json.loads(answer)
    if "bug" in data:
        bug = ContainedBugError(data["bug"][0])
        bug.add_note(data["bug"][1])
        raise bug
    if "error" in data:
        error: ExporterError = error_from_data(data["error"])
        raise error
    return Report.from_data(data["report"])
