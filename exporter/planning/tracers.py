"""Which tracers the installed Python and PyTorch serve, found without importing torch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a tracer is nobody's default here; ``gone``: nor can it be asked for."""

    why: str
    gone: bool


@dataclass(frozen=True, slots=True)
class _Need:
    """What a tracer is made of, and the first Python that its makers say it is not for.

    Attributes:
        name: what is missing, as people know it.
        part: a folder or module below that of torch.
        python: major and minor version.
    """

    name: str
    part: str
    python: tuple[int, int]


_NEEDS: Mapping[str, _Need] = {"torchscript": _Need("TorchScript (torch.jit)", "jit", (3, 14))}


def find_shortfalls(python: tuple[int, int], torch: Path | None) -> dict[str, Shortfall]:
    """Return the tracers that are not to be taken by default, and why.

    Args:
        python: major and minor version of Python.
        torch: the folder of the package; None where it is not installed, which says nothing about its parts.
    """
    shortfalls: dict[str, Shortfall] = {}
    for tracer, need in _NEEDS.items():
        if torch is not None and not (torch / need.part).exists() and not (torch / f"{need.part}.py").exists():
            shortfalls[tracer] = Shortfall(f"the installed PyTorch has no {need.name}", gone=True)
        elif python >= need.python:
            version = ".".join(map(str, need.python))
            shortfalls[tracer] = Shortfall(f"PyTorch supports no {need.name} on Python {version} and later", gone=False)
    return shortfalls


@lru_cache(maxsize=1)
def shortfalls() -> Mapping[str, Shortfall]:
    """Return the tracers that are not to be taken by default in this process's Python with its torch, and why."""
    try:
        # Torch itself is not imported, as long as no module below it is asked for.
        found = importlib.util.find_spec("torch")
    except ValueError:  # what stands in its place was made by hand
        found = None
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    return find_shortfalls(sys.version_info[:2], Path(folders[0]) if folders else None)
