"""A process that runs saved torch programs, and that can import neither transformers nor this package.

A file that needs the Python of the model it was made from is no deployment. This script is started by path, imports
torch once, and serves every program it is asked to open in a forked child, so that each has a process of its own. It
talks to `exporter.targets.torch_program.session` by ``multiprocessing.connection``; the key comes on standard input.

Nothing of exporter may be imported here, so what `exporter.errors` and `exporter.building.worker` also have is written
out again: `_say` and `_die_with_parent`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

FORBIDDEN = ("transformers", "exporter")
_PR_SET_PDEATHSIG = 1
# How an exported program ends, and one compiled by AOTInductor.
PROGRAM, COMPILED = ".pt2", ".aoti.pt2"
# A tensor as it travels: dtype, shape, bytes.
Plain = tuple[str, tuple[int, ...], bytes]


class _Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named '{name}': saved programs run without it", name=name)


def main() -> None:
    """Listen, tell where, and serve for as long as the process that started this one lives."""
    sys.path.pop(0)  # the directory of this script, whose modules are not for others to import
    sys.meta_path.insert(0, _Forbid())
    key = bytes.fromhex(sys.stdin.readline().strip())
    importlib.import_module("torch")
    # On Linux a name that leaves no file behind, whatever ends this process.
    name = f"\0exporter-{os.getpid()}" if sys.platform == "linux" else None
    # Other modules take the names of this one from here, and commands that run no program need not wait for these.
    from multiprocessing.connection import Listener

    listener = Listener(name, authkey=key)
    print(json.dumps(name or listener.address), flush=True)
    if hasattr(os, "fork"):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _die_with_parent()
    while True:
        try:
            connection = listener.accept()
        except Exception:  # a client that went away while it introduced itself
            continue
        if not hasattr(os, "fork"):
            serve(connection)
        elif os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                serve(connection)
            finally:
                os._exit(0)
        connection.close()


def _die_with_parent() -> None:
    """Ask the system (Linux) to end this process with the one that started it.

    The workers of builds have a function of the same name: this one ends in order, by SIGTERM, since it holds no build.
    """
    with contextlib.suppress(AttributeError, OSError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def serve(connection: Any) -> None:
    """Open one program and run it as often as asked. Every answer is ("ok", value) or ("error", text)."""
    program: Callable[..., Any] | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            command, *arguments = connection.recv()
            try:
                answer = None
                if command == "open":
                    program = open_program(*arguments)
                elif program is not None:
                    answer = run_program(program, *arguments)
                connection.send(("ok", answer))
            except Exception as error:
                connection.send(("error", _say(error)))


def _say(error: Exception) -> str:
    """Return what an error of torch says in one line: its last, since torch begins with the trace of the program.

    An error without a text, such as a bare ``AssertionError()``, is called by its type.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    return f"{kind}: {lines[-1]}" if lines else kind


def open_program(path: str, modules: Iterable[str]) -> Callable[..., Any]:
    """Return a callable for a saved program, after importing the modules its operators come from."""
    torch: Any = importlib.import_module("torch")
    for name in modules:
        importlib.import_module(name)
    program: Callable[..., Any]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.endswith(COMPILED):
            program = torch._inductor.aoti_load_package(path)
        elif path.endswith(PROGRAM):
            program = torch.export.load(path).module()
        else:
            program = torch.jit.load(path).eval()
    return program


def run_program(program: Callable[..., Any], tensors: Iterable[Plain]) -> list[Plain]:
    """Run a program and return its outputs."""
    import torch

    inputs = [_tensor(*plain) for plain in tensors]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = program(*inputs)
    return [_plain(output) for output in (outputs if isinstance(outputs, tuple | list) else (outputs,))]


def _tensor(dtype: str, shape: tuple[int, ...], data: bytes) -> Any:
    import torch

    kind: Any = getattr(torch, dtype)
    flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)
    return flat.reshape(shape)


def _plain(tensor: Any) -> Plain:
    import torch

    tensor = tensor.detach().contiguous()
    data = bytes(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data


if __name__ == "__main__":
    main()
