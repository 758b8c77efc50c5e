"""Run builds: hand each to a worker, follow its events, and swap the result into place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.artifacts.staging import staged_artifact
from exporter.building.events import Built, Ended, Failed, Job, Stage, error_from_data, event_from_line, to_line
from exporter.building.requests import Build
from exporter.errors import EngineError, ExporterError, ExportError
from exporter.models.checkpoints import LeftBehind
from exporter.planning.plan import Plan
from exporter.verification.report import Report, VerificationError

OnStage = Callable[[Build, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one build: a plan and files, or an error; an error of verification comes with the report."""

    build: Build
    seconds: float
    plan: Plan | None = None
    report: Report | None = None
    files: Mapping[str, int] = dataclasses.field(default_factory=dict)
    model_class: str = ""
    remarks: tuple[str, ...] = ()
    left: tuple[LeftBehind, ...] = ()
    error: ExporterError | None = None


def run_builds(
    builds: Iterable[Build], on_stage: OnStage = lambda build, text: None, jobs: int = 1
) -> Generator[Outcome, None, None]:
    """Run builds in worker processes and yield how each ended, as they end.

    Args:
        builds: the builds; the next is taken when a worker is free, so they may be made as they are needed.
        on_stage: called with each step of a build; with several jobs, from several threads.
        jobs: how many builds run at once, each in a worker of its own.
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
    """Open a worker with a log of its own, which is kept when it tells of a bug."""
    with tempfile.NamedTemporaryFile("w+", prefix="exporter-", suffix=".log", delete=False) as log:
        worker = _Worker(log)
        try:
            yield worker
        finally:
            worker.close()
            if not worker.has_bug:
                Path(log.name).unlink(missing_ok=True)


def _run(worker: _Worker, build: Build, on_stage: OnStage) -> Outcome:
    start = time.monotonic()
    try:
        with staged_artifact(build.output) as staging:
            built = worker.build(Job(build.request, staging.absolute()), lambda text: on_stage(build, text))
    except VerificationError as error:
        return Outcome(build, time.monotonic() - start, report=error.report, error=error)
    except ExporterError as error:
        return Outcome(build, time.monotonic() - start, error=error)
    seconds = time.monotonic() - start
    fields = {field.name: getattr(built, field.name) for field in dataclasses.fields(built)}
    return Outcome(build, seconds, **fields)


class _Worker:
    """A worker process, started when the first job comes and again after it dies."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.closed = False
        self.has_bug = False
        self.process: subprocess.Popen[str] | None = None
        # Held by a thread that starts the process and by one that closes the worker: no process starts after the close.
        self._starting = threading.Lock()

    def build(self, job: Job, on_stage: Callable[[str], None]) -> Built:
        """Run one job to its end and return its artifact.

        Raises:
            ExporterError: the error of the job, as it was raised in the worker.
            ExportError: the worker was killed.
            EngineError: the worker died, or says something that cannot be read.
        """
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
                case Stage(text):
                    on_stage(text)
                case Built():
                    built = event
                case Failed(data):
                    with self._reading():
                        error = error_from_data(data)
                    failure = self._failure(error)
                case Ended(status):
                    if built is None and failure is None:
                        raise self._died(status)
                    break
        if failure is not None:
            raise failure
        if built is None:
            raise self._died(process.wait())
        return built

    def _started(self, on_stage: Callable[[str], None]) -> subprocess.Popen[str]:
        """Return the running process; it is started for the first job, and again after it died."""
        if self.process is not None and self.process.poll() is None:
            return self.process
        on_stage("starting PyTorch")
        with self._starting:
            if self.closed:
                raise ExportError("the build was given up before it began")
            self._end()  # closes the pipes of a worker that died
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter.building.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
                encoding="utf-8",
                env={"OMP_WAIT_POLICY": "passive", **os.environ},
            )
            return self.process

    def close(self) -> None:
        """Kill the process, in the middle of a job too, and take no other job."""
        with self._starting:
            self.closed = True
            self._end()

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

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
        self.has_bug = True
        return EngineError(
            f"a bug in exporter: {error.message}", help=f"please report it with the log: {self.log.name}"
        )

    def _died(self, status: int) -> ExporterError:
        if status == -9:
            return ExportError("the worker was killed while building", help="most likely the machine ran out of memory")
        self.has_bug = True
        return EngineError(f"the worker died (status {status})", help=f"please report it with the log: {self.log.name}")
