"""What a plan that was read from a file must hold before anything acts on it.

`exporter.planning.plan.Plan.from_data` sees that each field has its type. A plan in somebody's manifest may still name
a file outside the artifact, a size of 10**12, a bound of NaN, or no graph at all. The planner makes no such plan, so
this is asked of plans from files only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from exporter.planning.plan import Axis, FillPlan, GraphPlan, Plan, Point, TensorPlan

# More than any plan has, and few enough to go through.
_MOST_GRAPHS, _MOST_TENSORS, _MOST_POINTS = 64, 10_000, 1_000
# The length of an axis, and the elements of a tensor: 2**34 float32 are 64 GB.
_LONGEST_AXIS, _MOST_ELEMENTS = 1 << 31, 1 << 34
_LARGEST_SEED = 1 << 62
# The names of `exporter.planning.dtypes.NUMPY_DTYPES`, for which numpy need not be there.
DTYPES = frozenset({"float32", "float16", "bfloat16", "float64", "int8", "uint8", "int32", "int64", "bool"})
_MODEL_DTYPES = ("float32", "float16", "bfloat16")
_RELATIVE_TO = ("element", "output")
_TERM = re.compile(r"[A-Za-z_]\w{0,99}|\d{1,9}", re.ASCII)
_DIM = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_AUTO_CLASS = re.compile(r"Auto\w{1,99}", re.ASCII)
_MODEL_CLASS = re.compile(r"[A-Z]\w{1,99}", re.ASCII)


def check_plan(plan: Plan) -> None:
    """Check the numbers, names and files of a plan.

    Raises:
        ValueError: says what is out of its range.
    """
    _check_bound(plan)
    _check_classes(plan)
    if not 0 <= plan.sizes.seed <= _LARGEST_SEED:
        raise ValueError(f"the seed {plan.sizes.seed} is out of range")
    _check_opset(plan.recording.opset)
    _check_points(plan.sizes.points)
    probes = [point for group in plan.sizes.probes.values() for point in group]
    if len(probes) > _MOST_POINTS:
        raise ValueError(f"it has {len(probes)} probes")
    for point in (*plan.sizes.points, *probes):
        _check_sizes(point)
    _check_graphs(plan.graphs)
    for graph in plan.graphs:
        _check_graph(graph, plan.sizes.points, probes)


def check_file(name: str, *, of: str = "file") -> None:
    """Check that a name in a manifest is that of a file below the artifact.

    Raises:
        ValueError: the name is empty, absolute, or leaves the directory.
    """
    parts = PurePosixPath(name).parts
    harmless = name and len(name) < 1_000 and name == "/".join(parts) and not set(parts) & {"..", ".", "/"}
    if not harmless or "\\" in name or name[1:2] == ":" or not name.isprintable():
        raise ValueError(f"the {of} {name[:80]!r} is not a name below the artifact")


def _check_bound(plan: Plan) -> None:
    bound = plan.bound
    for name, value in (("atol", bound.atol), ("rtol", bound.rtol)):
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"the bound has {name} {value}")
    if bound.rtol_of not in _RELATIVE_TO:
        raise ValueError(f"the bound is relative to {bound.rtol_of[:40]!r}, not to {' or '.join(_RELATIVE_TO)}")


def _check_classes(plan: Plan) -> None:
    model = plan.model
    if model.dtype not in _MODEL_DTYPES:
        raise ValueError(f"the model has the unknown dtype {model.dtype[:40]!r}")
    for name, pattern in ((model.auto_class, _AUTO_CLASS), (model.model_class, _MODEL_CLASS)):
        if name is not None and not pattern.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not the name of a class of models")
    if not math.isfinite(model.reference_gain):
        raise ValueError(f"the gain of the reference is {model.reference_gain}")


def _check_opset(opset: int | None) -> None:
    if opset is not None and not 1 <= opset <= 100:
        raise ValueError(f"there is no opset {opset}")


def _check_points(points: Collection[Point]) -> None:
    if not points or len(points) > _MOST_POINTS:
        raise ValueError(f"it has {len(points)} points to compare at")
    names = [point.name for point in points]
    if len(set(names)) != len(names) or names[0] != "trace":
        raise ValueError("its points are not the traced sizes and others, each once")


def _check_sizes(point: Point) -> None:
    for name, size in point.sizes.items():
        if not _DIM.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not the name of a dim")
        if not 0 <= size <= _LONGEST_AXIS:
            raise ValueError(f"the size {size} of '{name}' is out of range")


def _check_graphs(graphs: Collection[GraphPlan]) -> None:
    if not graphs or len(graphs) > _MOST_GRAPHS:
        raise ValueError(f"it has {len(graphs)} graphs")
    for what, names in (
        ("component", [graph.component for graph in graphs]),
        ("file", [file for graph in graphs for file in graph.files]),
    ):
        twice = sorted(name for name in set(names) if names.count(name) > 1)
        if twice:
            raise ValueError(f"two graphs have the {what} {twice[0][:80]!r}")


def _check_graph(graph: GraphPlan, points: Iterable[Point], probes: Iterable[Point]) -> None:
    if not _COMPONENT.fullmatch(graph.component):
        raise ValueError(f"{graph.component[:40]!r} is not the name of a component")
    for file in (graph.file, *graph.files):
        check_file(file, of="graph")
    if not graph.outputs:
        raise ValueError(f"the graph '{graph.component}' has no output")
    tensors = (*graph.inputs, *graph.outputs, *graph.built)
    if len(tensors) > _MOST_TENSORS:
        raise ValueError(f"the graph '{graph.component}' has {len(tensors)} tensors")
    for group in (graph.inputs, graph.outputs):
        names = [tensor.name for tensor in group]
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"two tensors of the graph '{graph.component}' have one name, or one has none")
    for tensor in tensors:
        _check_tensor(tensor, points)
        for point in (*points, *probes):
            _check_elements(tensor, point)


def _check_tensor(tensor: TensorPlan, points: Iterable[Point]) -> None:
    title = f"the tensor {tensor.name[:80]!r}"
    if tensor.dtype not in DTYPES:
        raise ValueError(f"{title} has the unknown dtype {tensor.dtype[:40]!r}")
    if tensor.fill is not None:
        _check_fill(tensor.fill, title)
    for axis in tensor.shape:
        if isinstance(axis, Axis):
            if not all(_TERM.fullmatch(term) for term in axis.terms):
                raise ValueError(f"{title} has an axis {axis[:40]!r}")
        elif not 0 <= axis <= _LONGEST_AXIS:
            raise ValueError(f"{title} has an axis of {axis}")
    for point in points:
        missing = sorted(set(tensor.dims()) - set(point.sizes))
        if missing:
            raise ValueError(f"the point '{point.name}' has no size for '{missing[0]}' of {title}")


def _check_fill(fill: FillPlan, title: str) -> None:
    numbers = [argument for argument in fill.args if not isinstance(argument, str)]
    if fill.ending is not None:
        numbers.append(fill.ending)
    if len(fill.args) > 8 or not all(math.isfinite(number) and abs(number) < 1 << 62 for number in numbers):
        raise ValueError(f"{title} is filled with numbers out of range")


def _check_elements(tensor: TensorPlan, point: Point) -> None:
    """Check how large a tensor is at a point that has a size for each of its dims; some probes have not."""
    if set(tensor.dims()) <= set(point.sizes) and math.prod(tensor.sizes_at(point.sizes)) > _MOST_ELEMENTS:
        raise ValueError(f"the tensor {tensor.name[:80]!r} is too large at the point {point.name[:80]!r}")
