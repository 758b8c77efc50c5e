"""The values a plan is made of: axes and their arithmetic, other names for dims, and the plan as data."""

from __future__ import annotations

import json
from typing import Any

import pytest

import exporter
from exporter.planning.plan import Axis, FillPlan, GraphPlan, Plan, Point, SizePlan, TensorPlan


@pytest.fixture(scope="module")
def decoder() -> Plan:
    return exporter.plan("gpt2", "text-generation-with-past")


def test_an_axis_is_the_sum_of_its_terms():
    axis = Axis.of("past", "sequence", "1")
    assert axis == "past + sequence + 1"
    assert axis.terms == ("past", "sequence", "1")
    assert axis.dims == ("past", "sequence")
    assert axis.size_at({"past": 5, "sequence": 6, "batch": 2}) == 12
    assert Axis("batch").size_at({"batch": 2}) == 2
    with pytest.raises(KeyError, match="past"):
        axis.size_at({"sequence": 6})


def test_an_axis_with_other_names_is_an_axis():
    axis = Axis("past + sequence + 1").renamed({"past": "cached", "batch": "rows"})
    assert axis == "cached + sequence + 1"
    assert isinstance(axis, Axis)
    # Names are exchanged at once: a new name is not renamed in its turn.
    assert Axis("a + b").renamed({"a": "b", "b": "a"}) == "b + a"


def tensor(*shape: int | str, **fields: Any) -> TensorPlan:
    axes = tuple(axis if isinstance(axis, int) else Axis(axis) for axis in shape)
    return TensorPlan("keys", "float32", axes, ("past_key_values", 0, "key"), **fields)


def test_a_tensor_knows_its_sizes_and_its_dims():
    keys = tensor("batch", 4, "past + sequence", "past + 1", 8)
    assert keys.sizes_at({"batch": 2, "past": 5, "sequence": 6}) == (2, 4, 11, 6, 8)
    assert keys.dynamic_axes() == {0: "batch", 2: "past + sequence", 3: "past + 1"}
    assert keys.dims() == ("batch", "past", "sequence")
    assert tensor(3, 4).dims() == ()


def test_a_tensor_is_renamed_with_what_the_cache_holds_of_it():
    renamed = tensor("batch", 4, "past", beyond="past", fill=FillPlan("randn", ())).renamed({"past": "cached"})
    assert renamed.shape == ("batch", 4, "cached")
    assert renamed.beyond == "cached"
    assert renamed.fill == FillPlan("randn", ())
    assert tensor(4).renamed({"past": "cached"}).beyond is None


def test_a_graph_is_renamed_in_all_its_tensors():
    graph = GraphPlan(
        "model", "model.onnx", ("model.onnx",), None, {}, (tensor("a"),), (tensor("a"),), (tensor("a"),), ()
    )
    renamed = graph.renamed({"a": "b"})
    assert [group[0].shape for group in (renamed.built, renamed.inputs, renamed.outputs)] == [("b",)] * 3
    assert renamed.file == "model.onnx"


def test_sizes_are_renamed_wherever_a_dim_is_a_key():
    sizes = SizePlan(
        points=(Point("trace", {"a": 2, "c": 3}, all_padded=True), Point("check 1", {"a": 1, "c": 4})),
        probes={"a": (Point("a 1", {"a": 1, "c": 3}),)},
        fixed={"a": 7, "d": 8},
        seed=5,
    )
    renamed = sizes.renamed({"a": "b"})
    assert sizes.trace.name == "trace"
    assert [point.sizes for point in renamed.points] == [{"b": 2, "c": 3}, {"b": 1, "c": 4}]
    assert [point.all_padded for point in renamed.points] == [True, False]
    assert {dim: point.sizes for dim, (point,) in renamed.probes.items()} == {"b": {"b": 1, "c": 3}}
    assert (renamed.fixed, renamed.seed) == ({"b": 7, "d": 8}, 5)


def test_a_plan_is_renamed_in_graphs_and_sizes(decoder: Plan):
    renamed = decoder.renamed({"batch": "rows"})
    assert renamed.graphs[0].inputs[0].shape == ("rows", "sequence")
    assert set(renamed.sizes.trace.sizes) == {"rows", "sequence", "past_sequence"}
    assert renamed.renamed({"rows": "batch"}) == decoder
    assert decoder.title == "gpt2 text-generation-with-past"


def test_a_plan_is_equal_after_json_and_its_axes_are_axes(decoder: Plan):
    again = Plan.from_data(json.loads(json.dumps(decoder.to_data())))
    assert again == decoder
    shapes = [tensor.shape for plan in (again, decoder) for graph in plan.graphs for tensor in graph.outputs]
    assert {type(axis) for shape in shapes for axis in shape} == {int, Axis}
    assert again.graphs[0].outputs[1].sizes_at(again.sizes.trace.sizes) == decoder.graphs[0].outputs[1].sizes_at(
        decoder.sizes.trace.sizes
    )


def _set(data: Any, path: str, value: Any) -> None:
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in steps:
        data = data[step]
    if value is None:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("task", 3, TypeError),
        ("graphs", {"model": 1}, TypeError),
        ("graphs.0.inputs.0.shape.0", 2.5, TypeError),
        ("graphs.0.inputs.0.shape.0", True, TypeError),
        ("graphs.0.inputs.0.name", None, KeyError),
        ("sizes.points.0.sizes", [2, 6], TypeError),
        ("sizes.points.0.sizes.batch", "2", TypeError),
        ("bound.atol", "small", TypeError),
        ("recording", None, KeyError),
        ("recording.engine", "steam", TypeError),
        ("model", [], TypeError),
    ],
)
def test_damaged_data_is_no_plan(decoder: Plan, path: str, value: Any, error: type[Exception]):
    data = json.loads(json.dumps(decoder.to_data()))
    assert Plan.from_data(data) == decoder
    _set(data, path, value)
    with pytest.raises(error):
        Plan.from_data(data)
