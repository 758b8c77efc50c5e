"""The sizes a graph is traced, checked and probed at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from exporter.language.expressions import expression_names
from exporter.language.spec import DerivedDim, DynamicDim
from exporter.planning.plan import GraphPlan, Point
from exporter.planning.sizes import Sizes
from exporter.planning.target import Target


def open_dims(sizes: Sizes, graphs: Iterable[GraphPlan]) -> tuple[list[DynamicDim], list[DerivedDim]]:
    """Return the dynamic dims that some graph leaves open, and the derived dims that follow from them.

    The derived dims are in the order of evaluation: ``rows``, which is ``height // 2``, comes before ``tokens``, which
    is ``rows * rows``, in whatever order a spec declares them.
    """
    dims = sizes.spec.dims
    used = {name for graph in graphs for tensor in (*graph.inputs, *graph.outputs) for name in tensor.dims()}
    met: set[str] = set()
    derived: list[DerivedDim] = []

    def meet(name: str) -> None:
        dim = dims.get(name)
        if dim is None or name in met:
            return
        met.add(name)
        if isinstance(dim, DerivedDim):
            # The dims that an expression names are evaluated before the expression is.
            for source in expression_names(dim.value.text):
                meet(source)
            derived.append(dim)

    for name in dims:
        if name in used:
            meet(name)
    return [dim for name, dim in dims.items() if name in met and isinstance(dim, DynamicDim)], derived


def plan_points(
    sizes: Sizes, graphs: Iterable[GraphPlan], target: Target, *, blank_rows: bool = True
) -> Iterator[Point]:
    """Yield the trace point, then the check points: the k-th takes the k-th size of every dim.

    A list of sizes that is too short starts again: with ``batch: {check: [1, 3]}`` and ``sequence: {check: [4, 7, 9]}``
    the third check point is a batch of 1 and a sequence of 9.

    Where the target fixes all sizes, or no dim of the graphs is dynamic, the first check point has the traced sizes:
    graphs are traced with every row padded, and checked there with a first row that is not. A batch of one row would
    otherwise be compared in one of the two ways only.

    Args:
        sizes: the dims and their sizes.
        graphs: those that are built.
        target: what they are built as.
        blank_rows: whether the check points have a row of nothing but padding, where they have several rows.
    """
    dims, derived = open_dims(sizes, graphs)
    traced = _point("trace", {dim.name: dim.trace for dim in dims}, sizes, derived)
    checks = [
        _point("check", {dim.name: dim.check[index % len(dim.check)] for dim in dims}, sizes, derived)
        for index in range(max((len(dim.check) for dim in dims), default=0))
    ]
    if not dims or target.all_static:
        checks = [traced, *checks]
        traced = dataclasses.replace(traced, all_padded=True)
    yield traced
    for number, point in enumerate(checks, start=1):
        yield dataclasses.replace(point, name=f"check {number}", blank_row=blank_rows)


def plan_probes(sizes: Sizes, graphs: Iterable[GraphPlan]) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """Yield each dynamic dim with the points that differ from the traced one in that dim alone.

    With ``batch: {trace: 2, check: [1, 2, 3]}`` the points of ``batch`` are a batch of 1 and a batch of 3.
    """
    dims, derived = open_dims(sizes, graphs)
    traced = {dim.name: dim.trace for dim in dims}
    for dim in dims:
        others = [size for size in dim.check if size != dim.trace]
        yield (
            dim.name,
            tuple(_point(f"{dim.name} {size}", {**traced, dim.name: size}, sizes, derived) for size in others),
        )


def _point(name: str, dynamic: dict[str, int], sizes: Sizes, derived: Iterable[DerivedDim]) -> Point:
    known = dict(dynamic)
    for dim in derived:
        known[dim.name] = sizes.derived(dim, known)
    return Point(name, known)
