"""About how large an artifact will be: as large as the weights that its graphs hold, in the dtype they are built in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.safetensors_file import check_safetensors
from exporter.planning.plan import GraphPlan, Plan

_ITEM_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}


def source_files(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the sizes in bytes of the files that a build reads a model from: config, weights, modules, adapter."""
    files = {name: checkpoint.path / name for name in ("config.json", *checkpoint.weight_files)}
    files |= {name: checkpoint.whole / name for name in checkpoint.module_files}
    if checkpoint.adapter is not None:
        files |= {f"adapter/{file.name}": file for file in checkpoint.adapter.files}
    return {name: file.stat().st_size for name, file in files.items() if file.is_file()}


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Return the size of the files with weights in them, in bytes."""
    return sum(file.stat().st_size for file in checkpoint.weight_paths() if file.is_file())


def estimate_bytes(plan: Plan, checkpoint: Checkpoint | None) -> int | None:
    """Return about how many bytes the graphs of a plan take; None for a reference, whose weights are not made yet.

    Weights that no graph of the task reads, such as the head of another task, are counted too. A weight that several
    graphs of a task hold is counted for each.
    """
    if checkpoint is None:
        return None
    item = _ITEM_SIZES[plan.model.dtype]
    if checkpoint.container != "safetensors":
        # Nothing says what is in it without reading it all; nearly all such files hold float32.
        return weight_bytes(checkpoint) * item // 4
    values = {
        name: math.prod(shape) for file in checkpoint.weight_paths() for name, shape in check_safetensors(file).items()
    }
    return sum(sum(_held(graph, plan, values)) for graph in plan.graphs) * item


def _held(graph: GraphPlan, plan: Plan, values: Mapping[str, int]) -> Iterator[int]:
    """Yield the number of values in each weight that a graph holds, by the submodules that graphs are of."""
    others = {other.module for other in plan.graphs if other.module and other.module != graph.module}
    for name, count in values.items():
        inside = _is_inside(name, graph.module) if graph.module else not any(_is_inside(name, each) for each in others)
        if inside:
            yield count


def _is_inside(name: str, module: str | None) -> bool:
    return module is not None and f".{module.rpartition('.')[2]}." in f".{name}"
