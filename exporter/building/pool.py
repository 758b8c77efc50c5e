"""Run builds: hand each to a worker, follow its events, and swap the result into place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exporter.artifacts.claims import scratch_directory
from exporter.artifacts.refusals import directory_size, find_full
from exporter.artifacts.staging import stage
from exporter.building.events import (
    Built,
    Ended,
    Failed,
    Job,
    Ready,
    Stage,
    Unready,
    error_from_data,
    event_from_line,
    to_line,
)
from exporter.building.requests import Build
from exporter.errors import (
    EngineError,
    ExporterError,
    ExportError,
    UsageError,
    describe_error,
    first_line,
    format_bytes,
)
from exporter.models.checkpoints import LeftBehind
from exporter.planning.plan import Plan
from exporter.verification.report import Report, VerificationError

OnStage = Callable[[Build, str], None]
# How much of a log an outcome has.
_LAST_BYTES = 1 << 16
# Signals that people and systems send to end a process; any other that ends one is a crash.
_SENT = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU", "SIGXFSZ")


class WorkerError(UsageError):
    """No worker can be started, so that no build can be run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one build: a plan and files, or an error; an error of verification comes with the report.

    Attributes:
        place_remarks: what was done with files in the artifact's place that were not ours, a line each.
        log: what libraries printed; the last of it, where it is long.
    """

    build: Build
    seconds: float
    plan: Plan | None = None
    report: Report | None = None
    files: Mapping[str, int] = dataclasses.field(default_factory=dict)
    model_class: str = ""
    remarks: tuple[str, ...] = ()
    left: tuple[LeftBehind, ...] = ()
    place_remarks: tuple[str, ...] = ()
    error: ExporterError | None = None
    log: str = ""


def run_builds(
    builds: Iterable[Build], on_stage: OnStage = lambda build, text: None, jobs: int = 1
) -> Generator[Outcome, None, None]:
    """Run builds in worker processes and yield how each ended, as they end.

    Args:
        builds: the builds; the next is taken when a worker is free, so they may be made as they are needed.
        on_stage: called with each step of a build; with several jobs, from several threads.
        jobs: how many builds run at once, each in a worker of its own.

    Raises:
        WorkerError: no worker can be started; it is raised once, and the builds that are left are not run.
        UsageError: there is no room for temporary files.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker()) for _ in range(jobs)]
        if jobs == 1:
            for build in builds:
                yield _run(workers[0], build, on_stage)
            return
        pending, turn = iter(builds), threading.Lock()
        ended: queue.Queue[Outcome | BaseException | None] = queue.Queue()

        def serve(worker: _Worker) -> None:
            try:
                while True:
                    with turn:
                        build = next(pending, None)
                    if build is None or worker.closed:
                        return
                    ended.put(_run(worker, build, on_stage))
            except BaseException as error:  # for the caller's thread to raise
                ended.put(error)
            finally:
                ended.put(None)

        threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        serving = len(threads)
        try:
            while serving:
                outcome = ended.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is None:
                    serving -= 1
                else:
                    yield outcome
        finally:
            for worker in workers:
                worker.close()
            for thread in threads:
                thread.join()


@contextmanager
def _worker() -> Iterator[_Worker]:
    """Open a worker with a log and a directory for temporary files, which both end with it."""
    with _open_log() as log, scratch_directory() as scratch:
        worker = _Worker(log, scratch)
        try:
            yield worker
        finally:
            worker.close()


def _open_log() -> BinaryIO:
    """Open a log that leaves nothing behind, however the process ends: in memory, or else in a file without a name."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.fdopen(os.memfd_create("exporter-log"), "w+b", buffering=0)
    try:
        return tempfile.TemporaryFile("w+b", buffering=0)
    except OSError as error:
        raise UsageError(
            f"temporary files cannot be written: {first_line(error.strerror or error)}",
            help="make room in the directory for temporary files, or name another in the variable TMPDIR",
        ) from None


def _run(worker: _Worker, build: Build, on_stage: OnStage) -> Outcome:
    return dataclasses.replace(_build(worker, build, on_stage), log=worker.last_words())


def _build(worker: _Worker, build: Build, on_stage: OnStage) -> Outcome:
    start = time.monotonic()
    try:
        with stage(build.output) as staging:
            built = worker.build(Job(build.request, staging.directory), lambda text: on_stage(build, text))
    except WorkerError:
        raise
    except VerificationError as error:
        return Outcome(build, time.monotonic() - start, report=error.report, error=error)
    except ExporterError as error:
        return Outcome(build, time.monotonic() - start, error=error)
    seconds = time.monotonic() - start
    fields = {field.name: getattr(built, field.name) for field in dataclasses.fields(built)}
    return Outcome(build, seconds, **fields, place_remarks=staging.remarks)


class _Worker:
    """A worker process, started when the first job comes and again after it dies.

    Attributes:
        log: what the worker and its libraries print; that of the last job, after the first.
        scratch: where the worker and its jobs write temporary files.
    """

    def __init__(self, log: BinaryIO, scratch: Path) -> None:
        self.log = log
        self.scratch = scratch
        self.closed = False
        self.process: subprocess.Popen[str] | None = None
        # Held by a thread that starts the process and by one that closes the worker: no process starts after the close.
        self._starting = threading.Lock()
        # The file that a bug is told with. It is written for the first bug, and anew for the next.
        self._kept: Path | None = None
        self._memory_kills = 0

    def build(self, job: Job, on_stage: Callable[[str], None]) -> Built:
        """Run one job to its end and return its artifact.

        Raises:
            ExporterError: the error of the job, as it was raised in the worker.
            ExportError: the worker was killed.
            WorkerError: the worker cannot be started.
            EngineError: the worker died, or says something that cannot be read.
        """
        self._memory_kills = _count_memory_kills()
        process = self._started(on_stage)
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the worker was started with pipes")
        # A worker that died does not read its job; the end of its output tells so below.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(to_line(job) + "\n")
            process.stdin.flush()
        built: Built | None = None
        failure: ExporterError | None = None
        for line in process.stdout:
            with self._reading():
                event = event_from_line(line)
            match event:
                case Stage():
                    on_stage(event.step)
                case Built():
                    built = event
                case Failed(data):
                    with self._reading():
                        error = error_from_data(data)
                    failure = self._failure(error)
                case Ended(status):
                    if built is None and failure is None:
                        raise self._died(status, job)
                    break
                case Ready() | Unready():
                    pass  # was read as the worker was started
        if failure is not None:
            raise failure
        if built is None:
            raise self._died(process.wait(), job)
        return built

    def _started(self, on_stage: Callable[[str], None]) -> subprocess.Popen[str]:
        """Return the running process; it is started for the first job, and again after it died."""
        if self.process is not None and self.process.poll() is None:
            self._clear_log()
            return self.process
        on_stage("starting PyTorch")
        with self._starting:
            if self.closed:
                raise ExportError("the build was given up before it began")
            self._end()  # closes the pipes of a worker that died
            self._clear_log()
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "exporter.building.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.log,
                    text=True,
                    encoding="utf-8",
                    errors="backslashreplace",
                    env={"OMP_WAIT_POLICY": "passive", **os.environ, "TMPDIR": str(self.scratch)},
                    # A group of processes, which is ended as one. A ^C in the terminal is for the command to pass on.
                    process_group=0 if hasattr(os, "killpg") else None,
                )
            except OSError as error:
                raise WorkerError(
                    f"nothing can be built: no process can be started: {describe_error(error)}",
                    help="see to the limits of processes and memory",
                ) from None
            process = self.process
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        """Read what a new worker says until it has imported what jobs need.

        Raises:
            ExportError: it was killed.
            WorkerError: it cannot do its work, and says why.
        """
        for line in process.stdout or ():
            # What other programs print as Python starts, such as a `sitecustomize`, is none of the worker's.
            with contextlib.suppress(EngineError):
                match event_from_line(line):
                    case Ready():
                        return
                    case Unready(data):
                        error = error_from_data(data)
                        process.wait()
                        raise WorkerError(f"nothing can be built: {error.message}", help=error.help)
        status = process.wait()
        if self.closed:
            raise ExportError("the build was given up before it began")
        if _signal_name(status) in _SENT:
            raise self._killed(status)
        reason = _signal_name(status) or f"status {status}"
        last = next((line for line in reversed(self._read_log().splitlines()) if line.strip()), "it printed nothing")
        raise WorkerError(
            f"nothing can be built: a process that imports PyTorch ends at its start ({reason}): {first_line(last)}",
            help=f"'{sys.executable} -m exporter.building.worker' shows where it fails",
        )

    def close(self) -> None:
        """Kill the process, in the middle of a job too, and take no other job."""
        with self._starting:
            self.closed = True
            self._end()

    def _end(self) -> None:
        """Kill the worker and all that it has started, and remove what they left."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a job that nobody took
                    pipe.close()
        for path in self.scratch.glob("job-*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """End the worker where an event cannot be read: later events would be taken for those of the next job."""
        try:
            yield
        except EngineError as error:
            self._end()
            raise self._failure(error) from error

    def _failure(self, error: ExporterError) -> ExporterError:
        """Return the error of a job as callers see it: an error that is a bug names the log, which is kept for it."""
        if not isinstance(error, EngineError):
            return error
        return EngineError(f"a bug in exporter: {error.message}", help=self._keep_log())

    def _died(self, status: int, job: Job) -> ExporterError:
        if _signal_name(status) in _SENT:
            return self._killed(status)
        # What is written to a mapped file that has no room ends the process.
        written = f"{format_bytes(directory_size(job.staging))} of the artifact were written"
        full = find_full((job.staging, self.scratch), needed=written)
        if full is not None:
            return full
        return EngineError(f"the worker died (status {status})", help=self._keep_log())

    def _killed(self, status: int) -> ExportError:
        name = _signal_name(status)
        message = f"the worker was killed while building ({name})"
        advice = "build on a machine with more memory, or fewer at once (--jobs)"
        if name == "SIGKILL" and _count_memory_kills() > self._memory_kills:
            return ExportError(message, help=f"the system ended it because memory ran out; {advice}")
        if name == "SIGKILL":
            return ExportError(message, help=f"most likely the machine ran out of memory; {advice}")
        if name in ("SIGXCPU", "SIGXFSZ"):
            return ExportError(message, help="it came to a limit of the shell or the system; 'ulimit -a' shows them")
        return ExportError(message, help="somebody ended it; build it again")

    def _clear_log(self) -> None:
        # The worker and its jobs write through the same open file, whose place this moves for them too.
        os.ftruncate(self.log.fileno(), 0)
        os.lseek(self.log.fileno(), 0, os.SEEK_SET)

    def last_words(self) -> str:
        """Return the end of what was printed since the last job began."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), _LAST_BYTES, max(size - _LAST_BYTES, 0)).decode("utf-8", "backslashreplace")

    def _read_log(self) -> str:
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode("utf-8", "backslashreplace")

    def _keep_log(self) -> str:
        """Write the log to a file that stays, and return what to do with it."""
        try:
            if self._kept is None:
                handle, name = tempfile.mkstemp(prefix="exporter-", suffix=".log")
                os.close(handle)
                self._kept = Path(name)
            self._kept.write_text(self._read_log(), "utf-8")
        except OSError as error:
            return f"please report it; its log cannot be written: {describe_error(error)}"
        return f"please report it with the log: {self._kept}"


def _signal_name(status: int) -> str:
    """Return the name of the signal that ended a process, by its status; empty where none did."""
    try:
        return signal.Signals(-status).name if status < 0 else ""
    except ValueError:
        return f"signal {-status}"


def _count_memory_kills() -> int:
    """Return how many processes the system (Linux) has ended since it was started because memory ran out."""
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
