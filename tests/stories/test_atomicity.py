"""A build that is killed, at whatever moment, leaves the earlier artifact or none; the next build cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from artifact_files import files, leftovers, occupy
from commands import offline_environment

import exporter
from exporter.artifacts.staging import staged_artifact
from exporter.building.pool import run_builds
from exporter.building.requests import plan_builds

# Builds, and kills itself without warning when a stage is announced, after saying which processes it had started.
KILLED = """
import os, signal, sys, psutil, exporter

def progress(text):
    if text.startswith(sys.argv[1]):
        print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

exporter.build("bert", task="fill-mask", output="out/artifact", progress=progress)
"""


@pytest.mark.parametrize("earlier", [True, False], ids=["over-an-earlier-one", "in-a-new-place"])
def test_a_command_that_is_killed(earlier: bool, tmp_path: Path):
    out = tmp_path / "out"
    before = occupy(out / "artifact") if earlier else {}
    for stage in ("starting PyTorch", "writing the manifest") if earlier else ("exporting",):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, stage],
            cwd=tmp_path,
            env=offline_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        children = [psutil.Process(int(pid)) for pid in killed.stdout.split() if psutil.pid_exists(int(pid))]
        assert not psutil.wait_procs(children, timeout=60)[1], "a worker outlived its command"
        assert leftovers(out), "the command was killed before it began"
        assert files(out / "artifact") == before
        assert (out / "artifact").exists() == earlier
    with staged_artifact(out / "another") as staging:
        assert leftovers(out) == [staging.parent]
        (staging / "manifest.json").write_text("{}", "utf-8")
    assert not leftovers(out)


def test_a_worker_that_is_killed_fails_its_build_alone(tmp_path: Path):
    # Not the manifest: it is written before anybody could be killed for it.
    stages = ["loading the model", "exporting", "computing golden vectors", "verifying"]
    folder = tmp_path / "out"
    given = {"tasks": ("fill-mask",), "output": folder / "artifact"}
    builds = plan_builds(["bert"], given) * (len(stages) + 1)
    before = occupy(folder / "artifact")
    number = -1
    killed: set[int] = set()
    others = psutil.Process().children()  # a worker that other tests share is none of ours

    def kill(_: object, text: str) -> None:
        if number < len(stages) and text.startswith(stages[number]) and number not in killed:
            killed.add(number)
            worker = next(
                child
                for child in psutil.Process().children()
                if child not in others and child.status() != psutil.STATUS_ZOMBIE
            )
            for child in worker.children() or [worker]:
                child.kill()

    def numbered():
        nonlocal number
        for build in builds:
            number += 1
            yield build

    *failed, last = run_builds(numbered(), kill)
    assert killed == set(range(len(stages)))
    for outcome in failed:
        assert outcome.error is not None
        assert outcome.error.exit_code == 1
        assert "the worker was killed" in outcome.error.message
        assert "memory" in (outcome.error.help or "")
    assert last.error is None
    assert not leftovers(folder)
    after = files(folder / "artifact")
    assert after["model.onnx"] != before["model.onnx"]
    assert exporter.verify(folder / "artifact").passed


def test_an_interrupted_command_exits_with_130(tmp_path: Path):
    out = tmp_path / "out"
    before = occupy(out / "artifact")
    with subprocess.Popen(
        [sys.executable, "-m", "exporter.cli", "build", "bert", "--task", "fill-mask", "-o", "out/artifact"],
        cwd=tmp_path,
        env=offline_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(lambda: bool(leftovers(out)) and bool(psutil.Process(process.pid).children()))
        children = psutil.Process(process.pid).children(recursive=True)
        # As a terminal does: to the command and to everything it has started.
        os.killpg(process.pid, signal.SIGINT)
        said = "".join(process.communicate(timeout=60))
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=60)[1]
    assert files(out / "artifact") == before
    assert not leftovers(out)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something to be seen; how long it takes is the machine's business."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
