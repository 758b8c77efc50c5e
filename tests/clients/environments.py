"""Environments of clients, one for each client and made once into pytest's cache, and programs run in them offline."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import offline_environment, online_environment

Array = np.ndarray[Any, Any]
PROGRAMS = Path(__file__).parent / "programs"
INSTALL_SECONDS = 1500
RUN_SECONDS = 300


class Installer:
    """Makes environments below one directory, and skips the test where what it asks for cannot be had."""

    def __init__(self, cache: pytest.Cache | None) -> None:
        self.cache = cache

    def python(self, name: str, *requirements: str) -> Path:
        """Return the Python of a virtual environment with these packages."""
        venv = [sys.executable, "-m", "venv", "{folder}"]
        pip = ["{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        folder = self._install(name, [sys.version, *requirements], [venv, pip])
        return folder / "bin" / "python"

    def node(self, name: str, *packages: str) -> Path:
        """Return the directory whose node_modules holds these packages. No install script runs: some download more."""
        _require("node", "--version")
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        return self._install(name, packages, [["npm", "install", *quiet, "--prefix", "{folder}", *packages]])

    def optimum(self) -> Path:
        """Return the Python of optimum and of sentence-transformers, which uses it; both need an older transformers."""
        return self.python(
            "optimum",
            "torch==2.13.0",
            "optimum-onnx[onnxruntime]==0.1.0",
            "transformers<4.58",
            "sentence-transformers>=5,<6",
        )

    def transformers_js(self) -> Path:
        """Return the directory of transformers.js, and of what drives a browser."""
        return self.node("transformers-js", "@huggingface/transformers@4.3.1", "playwright-core@1.65.1")

    def yaml_language_server(self) -> Path:
        """Return the directory of the language server that editors read YAML with."""
        return self.node("yaml-language-server", "yaml-language-server@2.0.0")

    def _install(self, name: str, key: Sequence[str], commands: Sequence[Sequence[str]]) -> Path:
        if self.cache is None:
            pytest.skip("pytest runs without its cache, where clients are installed")
        digest = hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:8]
        folder = Path(self.cache.mkdir("clients")) / f"{name}-{digest}"
        done = folder / "installed"
        with _locked(folder.with_suffix(".lock")):
            if not done.is_file():
                folder.mkdir(exist_ok=True)
                for command in commands:
                    _run_installer(name, [part.format(folder=folder) for part in command])
                done.touch()
        return folder


def installed_by_debian(package: str, program: str) -> str:
    """Return the path of a program. Where it is missing, Debian's package of it is installed, if that can be done."""
    if shutil.which(program) is None:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            pytest.skip(f"{program} is not installed, and only root can install Debian's {package}")
        _run_installer(package, ["apt-get", "update", "-qq"])
        _run_installer(package, ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])
    return shutil.which(program) or pytest.skip(f"Debian's {package} has no {program}")


def run_program(command: Sequence[str | Path], request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a client's program, which reads a request and prints an answer, both JSON, and return the answer."""
    asked = folder / "request.json"
    asked.write_text(json.dumps(dict(request), default=str), "utf-8")
    done = subprocess.run(
        [*map(str, command), str(asked)],
        # No backtrace of Rust: the last characters of what a failed program printed are shown, and must hold the cause.
        env=offline_environment(HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hub"), RUST_BACKTRACE="0"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run_on_arrays(
    python: Path, program: str, request: Mapping[str, Any], arrays: Mapping[str, Array], folder: Path
) -> dict[str, Array]:
    """Run a Python client's program on arrays, and return those it answers with."""
    folder.mkdir(exist_ok=True)
    given, answered = folder / "given.npz", folder / "answered.npz"
    np.savez(given, **arrays)  # type: ignore[arg-type]
    versions = run_program([python, PROGRAMS / program], {**request, "given": given, "answered": answered}, folder)
    print(json.dumps(versions))  # shown with -s, and with a failure
    with np.load(answered) as file:
        return dict(file)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of the same tests wait for."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_installer(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command,
            env=online_environment(DEBIAN_FRONTEND="noninteractive", ONNXRUNTIME_NODE_INSTALL="skip"),
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip(f"{name} cannot be had: there is no {command[0]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} cannot be had: {command[0]} took longer than {INSTALL_SECONDS} s")
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"{command[0]} failed"]
        pytest.skip(f"{name} cannot be had: {lines[-1]}")


def _require(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"there is no {command[0]}: {error}")
