"""The sizes a graph is traced, checked and probed at."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from exporter.language.diagnostics import SpecError
from exporter.language.spec import Spec
from exporter.planning.plan import Axis, GraphPlan, TensorPlan
from exporter.planning.points import open_dims, plan_points, plan_probes
from exporter.planning.sizes import Sizes
from exporter.planning.target import Target

TEXT = """
spec_version: 1
architecture: example
extends: image
dims:
  tokens: {derived: rows * columns}
  area: {derived: height * width}
  columns: {derived: width // stride}
  rows: {derived: height // stride}
  batch: {trace: 2, check: [1, 3]}
  height: {trace: 8, check: [10, 4, 8, 16]}
  width: {trace: 6, check: [6]}
  depth: {trace: 5, check: [7]}
  stride: 2
tasks: {feature-extraction: {}}
reference: {config: {}}
"""


@pytest.fixture(scope="module")
def sizes(make_spec: Callable[[str], Spec]) -> Sizes:
    return Sizes(make_spec(TEXT), SimpleNamespace())


@pytest.fixture(scope="module")
def target(make_target: Callable[..., Target]) -> Target:
    return make_target()


def graph_of(*axes: int | str) -> GraphPlan:
    shape = tuple(axis if isinstance(axis, int) else Axis(axis) for axis in axes)
    tensors = (TensorPlan("x", "float32", shape, ("x",)),)
    return GraphPlan("model", "model.txt", ("model.txt",), None, {}, (), tensors, (), ())


def opened(sizes: Sizes, *axes: int | str) -> tuple[list[str], list[str]]:
    dynamic, derived = open_dims(sizes, [graph_of(*axes)])
    return [dim.name for dim in dynamic], [dim.name for dim in derived]


def test_open_dims_are_those_that_some_axis_needs(sizes: Sizes):
    assert opened(sizes, "batch", 3) == (["batch"], [])
    assert opened(sizes, "batch + height", "1 + batch") == (["batch", "height"], [])
    assert opened(sizes, 3, 4) == ([], [])
    assert opened(sizes, "rows") == (["height"], ["rows"])


def test_derived_dims_come_after_those_they_follow_from(sizes: Sizes):
    assert opened(sizes, "batch", "tokens") == (["batch", "height", "width"], ["rows", "columns", "tokens"])
    # Whether or not the graphs name the others, and wherever the spec declares them.
    dynamic, derived = opened(sizes, "tokens", "rows", "area")
    assert dynamic == ["height", "width"]
    assert derived == ["rows", "columns", "tokens", "area"]


def test_the_kth_check_point_takes_the_kth_size_of_every_dim(sizes: Sizes, target: Target):
    points = list(plan_points(sizes, [graph_of("batch", "tokens")], target))
    assert [point.name for point in points] == ["trace", "check 1", "check 2", "check 3", "check 4"]
    assert [(point.sizes["batch"], point.sizes["height"], point.sizes["tokens"]) for point in points] == [
        (2, 8, 12),
        (1, 10, 15),
        (3, 4, 6),
        (1, 8, 12),
        (3, 16, 24),
    ]
    assert {point.sizes["width"] for point in points} == {6}
    assert not any(point.all_padded for point in points)
    assert "depth" not in points[0].sizes


@pytest.mark.parametrize(("axes", "fields"), [((2, 3), {}), (("batch", 3), {"all_static": True})])
def test_fixed_sizes_are_traced_padded_and_checked_both_ways(sizes: Sizes, make_target, axes, fields):
    trace, first, *others = plan_points(sizes, [graph_of(*axes)], make_target(**fields))
    assert (trace.name, first.name) == ("trace", "check 1")
    assert first.sizes == trace.sizes
    assert (trace.all_padded, first.all_padded) == (True, False)
    assert [point.sizes["batch"] for point in others] == ([1, 3] if fields else [])


def test_a_probe_differs_in_one_dim_and_what_follows_from_it(sizes: Sizes):
    probes = dict(plan_probes(sizes, [graph_of("batch", "rows")]))
    assert list(probes) == ["batch", "height"]
    assert [point.name for point in probes["batch"]] == ["batch 1", "batch 3"]
    assert [point.sizes for point in probes["batch"]] == [
        {"batch": 1, "height": 8, "rows": 4},
        {"batch": 3, "height": 8, "rows": 4},
    ]
    # 8 is the traced height, and probes nothing.
    assert [(point.sizes["height"], point.sizes["rows"]) for point in probes["height"]] == [(10, 5), (4, 2), (16, 8)]
    assert dict(plan_probes(sizes, [graph_of("width")])) == {"width": ()}


def test_derived_dims_in_a_circle_are_told_where_they_are(make_spec: Callable[[str], Spec], target: Target):
    text = TEXT.replace("rows: {derived: height // stride}", "rows: {derived: tokens // columns}")
    circular = Sizes(make_spec(text), SimpleNamespace())
    with pytest.raises(SpecError) as failure:
        list(plan_points(circular, [graph_of("tokens")], target))
    assert failure.value.diagnostics[0].span.location().startswith("example.yaml:9:")
