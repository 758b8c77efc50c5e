"""Run a saved torch program in a process of its own that has torch and neither transformers nor this package."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import ExportError, first_line
from exporter.planning.dtypes import NUMPY_DTYPES, Array
from exporter.targets.torch_program.process import Plain

_SCRIPT = Path(__file__).with_name("process.py")


@dataclass(frozen=True, slots=True)
class _Process:
    """The process, where it listens, and the key it listens for."""

    popen: subprocess.Popen[str]
    address: str
    key: bytes


_running: list[_Process] = []


def start_torch_process() -> None:
    """Start the process that programs run in, unless it runs: importing torch takes it a while.

    Processes forked from this one share it.

    Raises:
        ExportError: it does not start.
    """
    if _running:
        return
    key = os.urandom(32)
    popen = subprocess.Popen([sys.executable, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if popen.stdin is None or popen.stdout is None:
        raise AssertionError("the process was started with pipes")
    # A process that ends at once may not read the key.
    with contextlib.suppress(BrokenPipeError):
        popen.stdin.write(key.hex() + "\n")
        popen.stdin.flush()
    line = popen.stdout.readline()
    if not line:
        status = popen.wait()
        _close_pipes(popen)
        raise ExportError(
            f"the process that runs torch programs ended with status {status}",
            help="check that 'python -c \"import torch\"' works",
        )
    _running.append(_Process(popen, json.loads(line), key))
    atexit.register(_stop, os.getpid())


def _stop(starter: int) -> None:
    """End the process, in the process that started it."""
    if os.getpid() == starter:
        while _running:
            process = _running.pop()
            process.popen.kill()
            process.popen.wait()
            _close_pipes(process.popen)


def _close_pipes(popen: subprocess.Popen[str]) -> None:
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            # Closing writes what is left, and nobody may be there to read it.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class TorchSession:
    """A saved program, opened in a fresh process without transformers."""

    def __init__(self, path: Path, modules: Collection[str] = (), *, help: str | None = None) -> None:
        """Open a program.

        Args:
            path: the file.
            modules: what to import first: the packages whose operators the program uses.
            help: where to get those packages.

        Raises:
            ExportError: torch refuses the file.
        """
        start_torch_process()
        packages = ", ".join(f"{name} {version(name)}" for name in ("torch", *_installed(modules)))
        self.name = f"{packages} without transformers"
        self._connection: Connection = Client(_running[0].address, authkey=_running[0].key)
        try:
            self._ask("open", str(path.absolute()), list(modules))
        except RuntimeError as error:
            raise ExportError(f"torch cannot open {path.name}: {first_line(error)}", help=help) from error

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in graph order for inputs in graph order."""
        plain = [(_dtype(array), array.shape, np.ascontiguousarray(array).tobytes()) for array in inputs.values()]
        outputs: list[Plain] = self._ask("run", plain)
        return [np.frombuffer(data, NUMPY_DTYPES[dtype]).reshape(shape) for dtype, shape, data in outputs]

    def _ask(self, *message: Any) -> Any:
        try:
            self._connection.send(message)
            state, answer = self._connection.recv()
        except (EOFError, OSError):
            raise RuntimeError("the process that ran it died") from None
        if state != "ok":
            raise RuntimeError(answer)
        return answer


def _installed(modules: Iterable[str]) -> Iterator[str]:
    """Yield the packages of these modules that have a version."""
    for module in modules:
        package = module.replace("_", "-")
        with contextlib.suppress(PackageNotFoundError):
            version(package)
            yield package


def _dtype(array: Array) -> str:
    return next(name for name, dtype in NUMPY_DTYPES.items() if dtype == array.dtype)
