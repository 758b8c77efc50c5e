"""Dims that are given one size: those asked for, those that follow, and those a target cannot leave open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.errors import UsageError
from exporter.language.spec import DerivedDim, DynamicDim, Spec, StaticDim, TargetLimit
from exporter.planning.arrangement import Arrangement
from exporter.planning.choices import Choice, choose
from exporter.planning.options import Options
from exporter.planning.pinning import check_leading, pin_dims, pinned_dims
from exporter.planning.plan import Axis, GraphPlan, Plan, TensorPlan
from exporter.planning.planner import plan_task
from exporter.planning.target import Flag, Target

TEXT = """
spec_version: 1
architecture: example
extends: image
dims:
  height: {trace: 8, check: [11, 16]}
  width: {trace: 6, check: [10, 4]}
  tokens: {derived: rows * columns}
  rows: {derived: height // stride}
  columns: {derived: width // stride}
  stride: config.stride
inputs:
  pixel_values: float[batch, 3, height, width] = rand
tasks:
  feature-extraction: {outputs: {last_hidden_state: "float[batch, tokens, hidden]"}}
reference: {config: {}}
"""
CONFIG = SimpleNamespace(stride=2, hidden_size=32, num_channels=3, image_size=8)


@pytest.fixture(scope="module")
def spec(make_spec: Callable[[str], Spec]) -> Spec:
    return make_spec(TEXT)


def choose_as(spec: Spec, target: Target, limit: TargetLimit | None = None, **options: Any) -> Choice:
    task = spec.tasks["feature-extraction"]
    limited = replace(task, targets={target.name: limit} if limit is not None else {})
    return choose(spec, limited, Options(**options), target, Arrangement("flat"))


def pin(choice: Choice) -> dict[str, int]:
    dims = choice.spec.dims.values()
    dynamic = [dim for dim in dims if isinstance(dim, DynamicDim) and dim.name in ("batch", "height", "width")]
    return pin_dims(choice, dynamic, [dim for dim in dims if isinstance(dim, DerivedDim)])


def refused(choice: Choice) -> tuple[str, str | None]:
    with pytest.raises(UsageError) as failure:
        pin(choice)
    return failure.value.message, failure.value.help


def test_only_what_is_asked_for_is_fixed(spec: Spec, make_target):
    target = make_target(tracer="dynamo")
    assert pin(choose_as(spec, target)) == {}
    assert pin(choose_as(spec, target, dims={"width": 6, "batch": 1})) == {"batch": 1, "width": 6}


def test_a_size_for_no_dynamic_dim_is_refused(spec: Spec, make_target):
    target = make_target(tracer="dynamo")
    message, hint = refused(choose_as(spec, target, dims={"heigth": 8}))
    assert (message, hint) == ("'heigth' is no dynamic dim of feature-extraction", "did you mean 'height'?")
    assert refused(choose_as(spec, target, dims={"rows": 4}))[1] == "it follows from height, stride"
    assert refused(choose_as(spec, target, dims={"zzz": 4}))[1] == "its dynamic dims are: batch, height, width"


def test_whoever_fixes_every_dim_is_told_the_missing_ones(spec: Spec, make_target):
    message, hint = refused(choose_as(spec, make_target(tracer="dynamo"), static=True, dims={"height": 8}))
    assert message == "--static fixes every dim, and feature-extraction needs the sizes of: batch, width"
    assert hint == "give --dim batch=N --dim width=N"
    message, _ = refused(choose_as(spec, make_target(tracer="dynamo", all_static=True), dims={"batch": 1}))
    assert message == "the target paper has fixed sizes only, and feature-extraction needs those of: height, width"
    limit = TargetLimit(None, ("width",), "the columns are unrolled", {}, spec.span)
    target = make_target(tracer="dynamo")
    message, _ = refused(choose_as(spec, target, limit, dims={"batch": 1}))
    assert message == "feature-extraction as paper cannot leave open: width (the columns are unrolled)"
    assert pin(choose_as(spec, target, limit, dims={"width": 6})) == {"width": 6}


def test_what_follows_from_fixed_dims_alone_is_fixed_with_them(spec: Spec):
    fixed = pinned_dims(spec.dims, {"height": 8})
    assert set(fixed) == {"height", "rows"}
    assert all(isinstance(dim, StaticDim) for dim in fixed.values())
    # `tokens` is declared before the dims that it follows from.
    assert set(pinned_dims(spec.dims, {"height": 8, "width": 6})) == {"height", "width", "rows", "columns", "tokens"}
    assert pinned_dims(spec.dims, {}) == {}


def test_a_dim_left_open_is_checked_at_twice_its_size_and_one_more(spec: Spec):
    fixed = pinned_dims(spec.dims, {"batch": 4, "height": 8}, left_open=["batch"])
    batch = fixed["batch"]
    assert isinstance(batch, DynamicDim)
    assert (batch.trace, batch.check) == (4, (8, 9))
    assert isinstance(fixed["height"], StaticDim)


def plan_of(spec: Spec, target: Target, **options: Any) -> Plan:
    return plan_task(choose_as(spec, target, **options), CONFIG)


def test_a_plan_with_fixed_dims_has_numbers_in_their_place(spec: Spec, make_target):
    target = make_target(tracer="dynamo")
    open_plan = plan_of(spec, target)
    assert open_plan.graphs[0].outputs[0].shape == ("batch", "tokens", 32)
    plan = plan_of(spec, target, dims={"height": 9, "width": 6})
    assert plan.graphs[0].inputs[0].shape == ("batch", 3, 9, 6)
    assert plan.graphs[0].outputs[0].shape == ("batch", 12, 32)
    assert plan.sizes.fixed == {"height": 9, "width": 6}
    assert [point.sizes for point in plan.sizes.points] == [{"batch": 2}, {"batch": 1}, {"batch": 3}]


def test_a_batch_that_a_setting_leaves_open_stays_a_dim(spec: Spec, make_target):
    target = make_target(
        tracer="dynamo", all_static=True, flags=(Flag("loose", bool, "any batch."),), open_by={"loose": "batch"}
    )
    dims = {"batch": 2, "height": 8, "width": 6}
    assert plan_of(spec, target, dims=dims).sizes.fixed == dims
    plan = plan_of(spec, target, dims=dims, settings={"loose": True})
    assert plan.sizes.fixed == {"height": 8, "width": 6}
    assert plan.graphs[0].outputs[0].shape == ("batch", 12, 32)
    assert [point.sizes["batch"] for point in plan.sizes.points] == [2, 2, 4, 5]
    assert [point.all_padded for point in plan.sizes.points] == [True, False, False, False]


def graph_of(**shapes: tuple[int | str, ...]) -> GraphPlan:
    tensors = tuple(
        TensorPlan(name, "float32", tuple(axis if isinstance(axis, int) else Axis(axis) for axis in shape), ())
        for name, shape in shapes.items()
    )
    return GraphPlan("model", "model.txt", ("model.txt",), None, {}, (), tensors[:1], tensors[1:], ())


def test_a_dim_left_open_is_the_first_axis_and_no_other():
    good = graph_of(ids=("batch", "sequence"), logits=("batch", 4))
    check_leading([good], "fill-mask", ["batch"])
    check_leading([graph_of(ids=(2, 3))], "fill-mask", [])
    bad = graph_of(
        ids=("batch", "sequence"), flipped=("sequence", "batch"), twice=("batch", "batch + 1"), fixed=(4, 2), empty=()
    )
    with pytest.raises(UsageError) as failure:
        check_leading([good, bad], "fill-mask", ["batch"])
    assert failure.value.message == (
        "the batch of fill-mask cannot be left open: "
        "flipped, twice, fixed, empty cannot be split along a first axis 'batch'"
    )
