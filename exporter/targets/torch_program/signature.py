"""The sidecar of a torch program: ``<stem>.json`` with the ordered names, dtypes and symbolic dims of its tensors.

A saved program takes tensors by position and knows no names. ``dims`` tells for every dim whether the program is open
in it: ``dynamic`` (the program ran with another size of this dim alone), ``with others`` (the model accepts another
size of this dim only together with other sizes of further dims, as at the check points), ``not probed``, or the one
size of a fixed dim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.planning.plan import GraphPlan, Plan, TensorPlan

SIGNATURE_VERSION = 1


def signature_path(directory: Path, graph: GraphPlan) -> Path:
    """Return where a graph's sidecar is."""
    return (directory / graph.file).with_suffix(".json")


def make_signature(graph: GraphPlan, plan: Plan, dims: Mapping[str, str | int]) -> dict[str, Any]:
    """Return the signature of a graph as data."""
    return {
        "signature_version": SIGNATURE_VERSION,
        "target": plan.recording.target,
        "inputs": [_describe(tensor) for tensor in graph.inputs],
        "outputs": [_describe(tensor) for tensor in graph.outputs],
        "dims": {**dims, **plan.sizes.fixed},
    }


def _describe(tensor: TensorPlan) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def write_signature(directory: Path, graph: GraphPlan, plan: Plan, dims: Mapping[str, str | int]) -> None:
    """Write the sidecar of a graph."""
    text = json.dumps(make_signature(graph, plan, dims), indent=1)
    signature_path(directory, graph).write_text(text + "\n", "utf-8")


def signature_problems(directory: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    """Return what a sidecar says other than planned."""
    path = signature_path(directory, graph)
    try:
        written = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        written = None
    if not isinstance(written, dict):
        return [f"{path.name} is missing or damaged"]
    planned = make_signature(graph, plan, {})
    return [
        f"{path.name}: its {key} are not those planned"
        for key in ("inputs", "outputs")
        if written.get(key) != planned[key]
    ]
