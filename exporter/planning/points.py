"""The sizes a graph is traced, checked and probed at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from exporter.language.expressions import expression_names
from exporter.language.spec import (
    DerivedDim,
    DynamicDim,
)
from exporter.planning.plan import GraphPlan, Point
from exporter.planning.sizes import Sizes
from exporter.planning.target import Target


def open_dims(sizes: Sizes, graphs: Iterable[GraphPlan]) -> tuple[list[DynamicDim], list[DerivedDim]]:
    """Return the dynamic dims that some graph leaves open, and those that follow from them."""
    spec = sizes.spec
    used = {name for graph in graphs for tensor in (*graph.inputs, *graph.outputs) for name in tensor.dims()}
    derived: list[DerivedDim] = []
    while newly_used := [
        dim for name, dim in spec.dims.items() if name in used and isinstance(dim, DerivedDim) and dim not in derived
    ]:
        # The list is in the order of evaluation. The dims that an expression names must be known before it is evaluated, and they are met
        # after it: `rows: height // 2` makes `height` a used dim.
        derived = [*newly_used, *derived]
        used.update(name for dim in newly_used for name in expression_names(dim.value.text))
    return [dim for name, dim in spec.dims.items() if name in used and isinstance(dim, DynamicDim)], derived


def plan_points(sizes: Sizes, graphs: Iterable[GraphPlan], target: Target) -> Iterator[Point]:
    """Yield the trace point, then the check points: the k-th takes the k-th size of every dim, shorter lists cycling.

    With a batch of one size no other size has a padded row, or one that is not: it is traced with every row padded, and checked as
    any graph is.
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
        yield dataclasses.replace(point, name=f"check {number}")


def plan_probes(sizes: Sizes, graphs: Iterable[GraphPlan]) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """Yield for each dynamic dim the points at which it alone has another size than the traced one."""
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
