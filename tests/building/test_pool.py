"""Several builds at once: the same artifacts as one after another, and every worker gone afterwards."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

import exporter
from exporter.building.pool import run_builds
from exporter.building.requests import plan_builds
from exporter.errors import ExportError


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


def test_leaving_early_ends_every_worker(tmp_path: Path):
    before = set(psutil.Process().children(recursive=True))
    builds = plan_builds(["distilbert"], {"output": tmp_path / "out"})
    outcomes = run_builds(builds, jobs=2)
    assert next(outcomes).error is None
    outcomes.close()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not list((tmp_path / "out").glob(".*"))


def test_a_failure_in_one_job_is_told_and_leaves_the_others(tmp_path: Path):
    given = {"tasks": ("feature-extraction",), "output": tmp_path / "out"}
    (good,) = plan_builds(["distilbert"], given)

    def builds():
        yield good
        raise ExportError("no more builds")

    outcomes = run_builds(builds(), jobs=2)
    with pytest.raises(ExportError, match="no more builds"):
        list(outcomes)
