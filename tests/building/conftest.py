"""What the tests of building share: one real worker, workers whose jobs are a test's own, and a checkpoint."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import TINY_BERT

import exporter
from exporter.building import pool

# The program of a worker whose jobs do what a test says, and which imports no torch: it starts in a blink. A job that
# returns `made(job)` is built: its artifact is a file that names the processes of the worker and of the job.
_STUB = """\
import json, os, pathlib, signal, sys, time, types
from exporter import errors
from exporter.building import events, worker
from exporter.planning.plan import Plan

def made(job):
    (job.staging / "made").write_text(f"{{os.getppid()}} {{os.getpid()}}", "utf-8")
    (job.staging / "manifest.json").write_text('{{"manifest_version": 2, "files": {{"made": {{}}}}}}', "utf-8")
    plan = Plan.from_data(json.loads(pathlib.Path(__file__).with_name("plan.json").read_text("utf-8")))
    return events.Built(plan, None, {{job.request.task: 1}}, "BertModel")

def build_artifact(job, emit):
{job}

sys.modules["exporter.building.job"] = types.ModuleType("exporter.building.job")
sys.modules["exporter.building.job"].build_artifact = build_artifact
worker._PRELOADED = ()
{more}
worker.main()
"""
MakeStub = Callable[..., None]


@pytest.fixture(scope="session")
def real_worker() -> Iterator[Any]:
    """A worker with torch, which all tests of building share: torch takes longer to start than a model to build."""
    with pool._worker() as worker:
        yield worker


@pytest.fixture
def shared_worker(real_worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every build of a test go to the shared worker."""
    monkeypatch.setattr(pool, "_worker", lambda: contextlib.nullcontext(real_worker))


@pytest.fixture
def stub_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MakeStub:
    """Return a function that makes every worker run a job of the test's own, by the body of `build_artifact`."""

    def make(job: str, more: str = "") -> None:
        program, command = tmp_path / "stub.py", tmp_path / "stub"
        body = textwrap.indent(textwrap.dedent(job), "    ")
        (tmp_path / "plan.json").write_text(json.dumps(exporter.plan("bert", "fill-mask").to_data()), "utf-8")
        program.write_text(_STUB.format(job=body, more=textwrap.dedent(more)), "utf-8")
        command.write_text(f'#!/bin/sh\nexec "{python}" "{program}"\n', "utf-8")
        command.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(command))

    python = sys.executable
    return make


@pytest.fixture(scope="session")
def masked_lm(make_checkpoint: Callable[..., Path]) -> Path:
    """A BERT that fills masks."""
    return make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)
