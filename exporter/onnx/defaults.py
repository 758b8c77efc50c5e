"""The earlier system's defaults, where this engine can keep to them; ``earlier.json`` has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter.errors import UsageError
from exporter.language.spec import Spec, TaskSpec
from exporter.planning import choices
from exporter.planning.options import Options
from exporter.targets.onnx import OPSETS

# The earlier system's absolute tolerance. A task keeps its spec's where that is wider, because it was measured.
DEFAULT_ATOL = 1e-5


def default_opset(spec: Spec, task: TaskSpec) -> int:
    """Return the opset the earlier system wrote an architecture in, or the lowest later one that holds the task.

    For an architecture that the earlier system did not know, it is this engine's default.
    """
    known: int | None = earlier()["opsets"].get(spec.architecture)
    if known is None:
        return choices.default_opset(spec)
    minimum = spec.minimum_opsets.get("float32")
    lowest = OPSETS[choices.default_tracer(task)].start
    return max(known, lowest, minimum.opset if minimum is not None else 0)


def default_atol(task: TaskSpec, dtype: str = "float32") -> float:
    """Return the absolute part of the bound that outputs are held to."""
    measured = task.tolerances.get(dtype)
    return max(DEFAULT_ATOL, measured.atol if measured is not None else 0.0)


def fill_options(options: Options, spec: Spec, task: TaskSpec) -> Options:
    """Return options in which those that nobody gave are as in the earlier system: one graph, its opset, its bound."""
    apart = spec.architecture in earlier()["components"]
    return replace(
        options,
        monolith=task.monolith is not None and not apart,
        opset=options.opset if options.opset is not None else default_opset(spec, task),
        atol=options.atol if options.atol is not None else default_atol(task, options.dtype),
    )


def common_outputs(feature: str) -> dict[str, dict[int, str]]:
    """Return the outputs of a feature with the names of their open axes, as the earlier system had them by default.

    Raises:
        UsageError: the earlier system had no such feature.
    """
    outputs = earlier()["outputs"]
    if feature not in outputs:
        raise UsageError(f"nothing says what '{feature}' gives", help="override outputs of the config class")
    return {name: {int(axis): label for axis, label in axes.items()} for name, axes in outputs[feature].items()}


@lru_cache(maxsize=1)
def earlier() -> Mapping[str, Any]:
    """Return what is known of the earlier system, by subject."""
    data: Mapping[str, Any] = json.loads(Path(__file__).with_name("earlier.json").read_text("utf-8"))
    return data
