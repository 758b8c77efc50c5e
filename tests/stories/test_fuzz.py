"""What strangers give is read or refused: no crash, no hang, no memory without bound.

The short sweep runs with the suite and is the same every time. ``pytest -m fuzz`` runs the long one, for
``FUZZ_SECONDS`` (60) on each target, from ``FUZZ_SEED`` on, and prints how many inputs it read.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import OFFLINE, offline_environment
from fuzzing import TARGETS, Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS, MEGABYTES = 5, 500
IDS = [target.name for target in TARGETS]
# Inputs that found a bug once: the target and the seed of each.
FOUND: list[tuple[str, int]] = []


@pytest.mark.parametrize("target", TARGETS, ids=IDS)
def test_a_short_sweep(target: Target, tmp_path: Path):
    @settings(derandomize=True, max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def sweep(seed: int) -> None:
        target.run(seed, tmp_path / "input")

    sweep()


@pytest.mark.parametrize(("name", "seed"), FOUND)
def test_what_found_a_bug_once(name: str, seed: int, tmp_path: Path):
    next(target for target in TARGETS if target.name == name).run(seed, tmp_path / "input")


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.parametrize("target", TARGETS, ids=IDS)
def test_a_long_sweep(target: Target, tmp_path: Path, record_property):
    seconds, seed = float(os.environ.get("FUZZ_SECONDS", "60")), int(os.environ.get("FUZZ_SEED", "0"))
    ends, failures, inputs, most = time.monotonic() + seconds, [], 0, 0
    while time.monotonic() < ends and len(failures) < 20:
        # A process of its own: a crash of a library is a finding too, and the next process begins behind it.
        process = subprocess.run(
            [sys.executable, __file__, target.name, str(seed), str(ends - time.monotonic()), str(tmp_path / "input")],
            env=offline_environment(PYTHONPATH=os.pathsep.join((str(OFFLINE), *filter(None, sys.path)))),
            capture_output=True,
            text=True,
            check=False,
        )
        *_, progress = [line for line in process.stdout.splitlines() if line.startswith("at ")] or ["at 0 0"]
        read, used = (int(word) for word in progress.split()[1:])
        inputs, most, seed = inputs + read, max(most, used), seed + read
        if process.returncode:
            failures.append(f"seed {seed}: exit code {process.returncode}\n{process.stderr[-1500:]}")
            inputs, seed = inputs + 1, seed + 1
    record_property(
        "fuzz", f"{target.name}: {inputs:,} inputs, {most} MB at most above the beginning, {len(failures)} failures"
    )
    assert inputs
    assert not failures, "\n\n".join(failures)


def sweep_here(name: str, seed: int, seconds: float, directory: Path) -> None:
    """Run inputs of a target until the time is up, within the limits of one input each. Print how far it came."""
    target = next(target for target in TARGETS if target.name == name)
    target.run(-1, directory)  # imports and caches are not an input's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, _too_long)
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        # Of the processor's time, since others use the machine as well.
        signal.alarm(12 * SECONDS)
        started = time.process_time()
        target.run(seed + count, directory)
        signal.alarm(0)
        used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        assert time.process_time() - started < SECONDS, "it took too long"
        assert used < MEGABYTES, f"it took {used} MB"
        count += 1
        print(f"at {count} {used}", flush=True)


def _too_long(*_: object) -> None:
    raise AssertionError("it hangs")


if __name__ == "__main__":
    sweep_here(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
