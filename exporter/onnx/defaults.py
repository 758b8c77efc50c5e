"""The earlier system's defaults, where this engine can keep to them. ``earlier.json`` has its opsets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter.language.spec import Spec, TaskSpec
from exporter.planning import choices
from exporter.planning.options import Options
from exporter.targets.onnx import OPSETS

# The earlier system's absolute tolerance. A task keeps its spec's where that is wider, because it was measured.
_ATOL = 1e-5


def default_opset(spec: Spec, task: TaskSpec) -> int:
    """Return the opset the earlier system wrote an architecture in, or the lowest later one that holds the task.

    For an architecture that the earlier system did not know, it is this engine's default.
    """
    known: int | None = _earlier()["opsets"].get(spec.architecture)
    if known is None:
        return choices.default_opset(spec)
    minimum = spec.minimum_opsets.get("float32")
    lowest = OPSETS[choices.default_tracer(task)].start
    return max(known, lowest, minimum.opset if minimum is not None else 0)


def default_atol(task: TaskSpec, dtype: str = "float32") -> float:
    """Return the absolute part of the bound that outputs are held to."""
    measured = task.tolerances.get(dtype)
    return max(_ATOL, measured.atol if measured is not None else 0.0)


def fill_options(options: Options, spec: Spec, task: TaskSpec) -> Options:
    """Return options in which those that nobody gave are as in the earlier system: one graph, its opset, its bound."""
    apart = spec.architecture in _earlier()["components"]
    return replace(
        options,
        monolith=task.monolith is not None and not apart,
        opset=options.opset if options.opset is not None else default_opset(spec, task),
        atol=options.atol if options.atol is not None else default_atol(task, options.dtype),
    )


@lru_cache(maxsize=1)
def _earlier() -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads(Path(__file__).with_name("earlier.json").read_text("utf-8"))
    return data
