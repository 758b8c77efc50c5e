"""Several builds at once: the same artifacts as one after another, and every worker gone afterwards."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import exporter
from exporter.building import pool
from exporter.building.pool import run_builds
from exporter.building.requests import Build, plan_builds
from exporter.errors import EngineError, ExportError, UsageError

MakeStub = Callable[..., None]


def digests(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_jobs_write_what_one_worker_writes(tmp_path: Path):
    tasks = ("feature-extraction", "fill-mask", "token-classification")
    for jobs in (1, 2):
        results = exporter.build("distilbert", task=tasks, output=tmp_path / str(jobs), jobs=jobs)
        assert {result.plan.task for result in results} == set(tasks)
        assert all(result.report is not None and result.report.passed for result in results)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def build_of(task: str, output: Path) -> Build:
    (build,) = plan_builds(["bert"], {"tasks": (task,), "output": output, "verify": False})
    return build


# A job that is built.
MADE = 'emit(f"building {job.request.task}")\nreturn made(job)\n'


def test_leaving_early_ends_every_worker(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(f"if job.request.task != 'fill-mask':\n    time.sleep(60)\n{MADE}")
    before = set(psutil.Process().children(recursive=True))
    tasks = ("fill-mask", "token-classification", "question-answering")
    outcomes = run_builds([build_of(task, tmp_path / "out" / task) for task in tasks], jobs=2)
    assert next(outcomes).error is None
    outcomes.close()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fill-mask"]


def test_a_worker_that_is_closed_starts_no_process(stub_worker: MakeStub, tmp_path: Path):
    """A thread may take a build just before the others are told to end: nobody would wait for what it builds."""
    stub_worker(MADE)
    with pool._worker() as worker:
        worker.close()
        outcome = pool._run(worker, build_of("fill-mask", tmp_path / "out"), lambda build, text: None)
        assert worker.process is None
    assert isinstance(outcome.error, ExportError)
    assert "given up" in outcome.error.message
    assert not (tmp_path / "out").exists()


def test_builds_that_cannot_be_told_end_the_run(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE)

    def builds() -> Iterator[Build]:
        yield build_of("fill-mask", tmp_path / "out")
        raise ExportError("no more builds")

    with pytest.raises(ExportError, match="no more builds"):
        list(run_builds(builds(), jobs=2))


def test_an_outcome_tells_what_was_made_in_which_time(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE)
    build = build_of("fill-mask", tmp_path / "out")
    said: list[tuple[Build, str]] = []
    (outcome,) = run_builds([build], lambda build, text: said.append((build, text)))
    assert outcome.build is build
    assert outcome.plan == exporter.plan("bert", "fill-mask")
    assert (outcome.report, outcome.error, outcome.files) == (None, None, {"fill-mask": 1})
    assert outcome.model_class == "BertModel"
    assert 0 < outcome.seconds < 60
    assert said == [(build, "starting PyTorch"), (build, "building fill-mask")]
    assert (tmp_path / "out" / "made").is_file()


def test_one_worker_serves_all_builds_and_each_has_a_process_of_its_own(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE)
    builds = [build_of(task, tmp_path / task) for task in ("fill-mask", "token-classification")]
    assert [outcome.build for outcome in run_builds(builds)] == builds
    made = [(build.output / "made").read_text("utf-8").split() for build in builds]
    assert made[0][0] == made[1][0]
    assert made[0][1] != made[1][1]


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)",
        "os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)",
        "raise errors.ExportError('it failed')",
        "return events.Failed({'kind': 'Nonsense'})",
        "return events.Failed({'kind': 'ExportError'})",
    ],
    ids=["worker-killed", "job-killed", "job-failed", "no-error", "half-an-error"],
)
def test_after_a_job_that_fails_the_next_is_built(end: str, stub_worker: MakeStub, tmp_path: Path):
    stub_worker(f"if job.request.task == 'fill-mask':\n    {end}\n{MADE}")
    tasks = ("token-classification", "fill-mask", "question-answering", "multiple-choice")
    outcomes = list(run_builds([build_of(task, tmp_path / task) for task in tasks]))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True, True]
    # None of them takes what was said of another for its own.
    assert [dict(outcome.files) for outcome in outcomes] == [{tasks[0]: 1}, {}, {tasks[2]: 1}, {tasks[3]: 1}]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {tasks[0], *tasks[2:]}
    for outcome in outcomes:
        if isinstance(outcome.error, EngineError):
            Path(str(outcome.error.help).rpartition(": ")[2]).unlink(missing_ok=True)  # all bugs of a worker have one


def test_an_artifact_in_its_place_outlives_a_build_that_fails(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(f"if job.request.options.seed:\n    raise errors.ExportError('it failed')\n{MADE}")
    good = build_of("fill-mask", tmp_path / "out")
    bad = replace(good, request=replace(good.request, options=replace(good.request.options, seed=1)))
    first, second = run_builds([good, bad])
    assert (first.error, str(second.error)) == (None, "it failed")
    assert (tmp_path / "out" / "made").is_file()


def test_several_workers_build_at_once(stub_worker: MakeStub, tmp_path: Path):
    """Each of two jobs waits for the other, so that one worker alone would never end."""
    stub_worker(
        """\
        places = [job.staging.parent.parent / f"{task}.here" for task in ("fill-mask", "token-classification")]
        (job.staging.parent.parent / f"{job.request.task}.here").touch()
        deadline = time.monotonic() + 60
        while not all(place.exists() for place in places):
            if time.monotonic() > deadline:
                raise errors.ExportError("alone")
            time.sleep(0.01)
        return made(job)
        """
    )
    builds = [build_of(task, tmp_path / task) for task in ("fill-mask", "token-classification")]
    threads: set[str] = set()
    outcomes = list(run_builds(builds, lambda build, text: threads.add(threading.current_thread().name), jobs=2))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert {outcome.build.task for outcome in outcomes} == {"fill-mask", "token-classification"}
    assert len(threads) == 2


def test_builds_are_asked_for_when_a_worker_is_free(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE)
    taken: list[str] = []

    def builds() -> Iterator[Build]:
        for task in ("fill-mask", "token-classification"):
            taken.append(task)
            yield build_of(task, tmp_path / task)

    outcomes = run_builds(builds())
    assert next(outcomes).build.task == "fill-mask"
    assert taken == ["fill-mask"]
    outcomes.close()
    assert not (tmp_path / "token-classification").exists()


def test_a_log_is_kept_for_a_bug_alone(stub_worker: MakeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logs = tmp_path / "logs"
    logs.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(logs))
    stub_worker("raise errors.ExportError('it failed')")
    (outcome,) = run_builds([build_of("fill-mask", tmp_path / "out")])
    assert isinstance(outcome.error, ExportError)
    assert not list(logs.iterdir())
    stub_worker("raise ValueError('nobody thought of this')")
    (outcome,) = run_builds([build_of("fill-mask", tmp_path / "out")])
    assert isinstance(outcome.error, EngineError)
    (log,) = logs.iterdir()
    assert str(outcome.error.help).endswith(str(log))
    assert "nobody thought of this" in log.read_text("utf-8")


def test_a_place_that_cannot_be_written_is_that_builds_failure(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE)
    (tmp_path / "file").write_text("", "utf-8")
    builds = [build_of("fill-mask", tmp_path / "file" / "out"), build_of("fill-mask", tmp_path / "out")]
    refused, built = run_builds(builds)
    assert isinstance(refused.error, UsageError)
    assert built.error is None
