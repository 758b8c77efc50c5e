"""A plan from somebody's file: each name, number and file is in its range, and what the planner makes always is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import exporter
from exporter.errors import UsageError
from exporter.planning.dtypes import NUMPY_DTYPES
from exporter.planning.plan import Plan
from exporter.planning.ranges import DTYPES, check_file, check_plan

DATA = exporter.plan("bert", "fill-mask").to_data()


def changed(change: Callable[[dict[str, Any]], object]) -> Plan:
    import copy

    data = copy.deepcopy(DATA)
    change(data)
    return Plan.from_data(data)


@pytest.mark.parametrize("target", ["onnx", "openvino", "torchscript", "torch-export", "neuron"])
@pytest.mark.parametrize(
    ("architecture", "task"),
    [("bert", "fill-mask"), ("t5", "text2text-generation-with-past"), ("detr", "object-detection")],
)
def test_plans_of_the_planner_are_in_range(architecture: str, task: str, target: str) -> None:
    sizes = {} if target != "neuron" else {"static": True, "dims": {"batch": 2, "sequence": 8}}
    try:
        plan = exporter.plan(architecture, task, target=target, **sizes)
    except UsageError:
        pytest.skip("this target cannot have the task")
    check_plan(plan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["bound"].update(atol=math.nan), "atol nan"),
        (lambda data: data["bound"].update(rtol=math.inf), "rtol inf"),
        (lambda data: data["bound"].update(atol=-1e-9), "atol -1e-09"),
        (lambda data: data["bound"].update(rtol_of="nothing"), "relative to 'nothing'"),
        (lambda data: data["sizes"].update(seed=-1), "the seed -1"),
        (lambda data: data["sizes"].update(seed=1 << 80), "the seed"),
        (lambda data: data["sizes"].update(points=[]), "0 points"),
        (lambda data: data["sizes"]["points"].append(data["sizes"]["points"][0]), "each once"),
        (lambda data: data["sizes"]["points"][0].update(name="other"), "the traced sizes"),
        (lambda data: data["sizes"]["points"][0]["sizes"].update(batch=-1), "size -1 of 'batch'"),
        (lambda data: data["sizes"]["points"][0]["sizes"].update(batch=10**12), "size 1000000000000 of 'batch'"),
        (lambda data: data["sizes"]["points"][1]["sizes"].update(batch=1 << 20, sequence=1 << 20), "too large"),
        (lambda data: data["sizes"]["points"][0]["sizes"].pop("batch"), "no size for 'batch'"),
        (lambda data: data["sizes"]["points"][0]["sizes"].update({"a b": 1}), "not the name of a dim"),
        (lambda data: data.update(graphs=[]), "0 graphs"),
        (lambda data: data["graphs"].append(data["graphs"][0]), "two graphs have the component 'model'"),
        (lambda data: data["graphs"][0].update(file="../model.onnx"), "not a name below the artifact"),
        (lambda data: data["graphs"][0].update(files=["/etc/passwd"]), "not a name below the artifact"),
        (lambda data: data["graphs"][0].update(component="../.."), "not the name of a component"),
        (lambda data: data["graphs"][0].update(outputs=[]), "has no output"),
        (lambda data: data["graphs"][0]["outputs"].append(data["graphs"][0]["outputs"][0]), "have one name"),
        (lambda data: data["graphs"][0]["outputs"][0].update(dtype="object"), "unknown dtype 'object'"),
        (lambda data: data["graphs"][0]["outputs"][0].update(shape=[-3]), "an axis of -3"),
        (lambda data: data["graphs"][0]["outputs"][0].update(shape=["²"]), "an axis"),
        (lambda data: data["graphs"][0]["outputs"][0].update(shape=["unheard_of"]), "no size for 'unheard_of'"),
        (lambda data: data["graphs"][0]["inputs"][0]["fill"].update(args=[math.inf]), "numbers out of range"),
        (lambda data: data["graphs"][0]["inputs"][0]["fill"].update(ending=1 << 70), "numbers out of range"),
        (lambda data: data["model"].update(dtype="float128"), "unknown dtype 'float128'"),
        (lambda data: data["model"].update(auto_class="os"), "not the name of a class of models"),
        (lambda data: data["model"].update(model_class="_x"), "not the name of a class of models"),
        (lambda data: data["model"].update(reference_gain=math.nan), "gain"),
        (lambda data: data["recording"].update(opset=-1), "no opset -1"),
    ],
)
def test_what_is_out_of_range_is_said(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_plan(changed(change))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../x", "/x", "a//b", "./a", "a/", "a\\b", "C:x", "a\nb", "a\0b", "x" * 2000]
)
def test_a_file_outside_the_artifact_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name below the artifact"):
        check_file(name)


@pytest.mark.parametrize("name", ["model.onnx", "onnx/model.onnx", "a b", "2_Dense/ü.json", "..a"])
def test_a_file_in_it_is_accepted(name: str) -> None:
    check_file(name)


def test_dtypes_are_those_of_arrays():
    assert set(NUMPY_DTYPES) == DTYPES
