"""The structure of a written file against its plan: what differs is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporter.planning.plan import Axis, GraphPlan, TensorPlan
from exporter.targets.onnx import structure
from exporter.targets.onnx.structure import check_structure

IDS = TensorPlan("ids", "int64", (Axis("batch"), 3), ("ids",))
MASK = TensorPlan("mask", "int64", (Axis("batch"), 3), ("mask",))
LOGITS = TensorPlan("logits", "float32", (Axis("batch"), 3), ("logits",))
GRAPH = GraphPlan("model", "model.onnx", ("model.onnx",), None, {}, (), (IDS, MASK), (LOGITS,), ())
PLAN = SimpleNamespace(recording=SimpleNamespace(opset=18))


def proto() -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", 3)) for name in ("ids", "mask")]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 3))
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["wide", "bias"], ["logits"]),
    ]
    bias = onnx.numpy_helper.from_array(np.ones(3, np.float32), "bias")
    graph = helper.make_graph(nodes, "main", values, [logits], [bias])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(proto(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def problems(path: Path, **changed: object) -> list[str]:
    return check_structure(path, dataclasses.replace(GRAPH, **changed), PLAN)


def test_a_file_as_planned_has_no_problem(path: Path):
    assert problems(path) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"inputs": (MASK, IDS)}, "model.onnx: its inputs are ids, mask; planned mask, ids"),
        ({"outputs": ()}, "model.onnx: its outputs are logits; planned "),
        (
            {"inputs": (IDS, dataclasses.replace(MASK, shape=(Axis("batch"), Axis("sequence"))))},
            "model.onnx: the input 'mask' has shape ['batch', 3]; planned ['batch', 'sequence']",
        ),
        (
            {"outputs": (dataclasses.replace(LOGITS, dtype="float16"),)},
            "model.onnx: the output 'logits' is float32; planned float16",
        ),
    ],
    ids=["order", "names", "dims", "dtype"],
)
def test_what_differs_from_the_plan_is_named(path: Path, changed: dict[str, object], problem: str):
    assert problems(path, **changed) == [problem]


def test_another_opset_is_named(path: Path):
    plan = SimpleNamespace(recording=SimpleNamespace(opset=17))
    assert check_structure(path, GRAPH, plan) == ["model.onnx has opset 18, and 17 was asked for"]


def test_a_graph_that_no_checker_passes_is_named(path: Path):
    model = proto()
    model.graph.node[2].input[0] = "nothing"
    onnx.save(model, path)
    (problem,) = problems(path)
    assert problem.startswith("model.onnx does not pass onnx.checker: ")
    assert "\n" not in problem


def test_a_file_that_is_no_graph_is_named(path: Path):
    path.write_bytes(b"PK not a graph")
    assert problems(path)[-1].startswith("model.onnx cannot be read: ")


def external(path: Path, location: str = "model.onnx_data") -> None:
    model = proto()
    onnx.external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    onnx.save(model, path)


def test_weights_beside_the_file_are_there_and_long_enough(path: Path):
    external(path)
    data = path.with_name("model.onnx_data")
    assert problems(path) == []
    data.write_bytes(data.read_bytes()[:-1])
    assert "model.onnx: the data of 'bias' ends beyond model.onnx_data" in problems(path)
    data.unlink()
    missing = "model.onnx: the data of 'bias' is in 'model.onnx_data', which is not beside it"
    assert missing in problems(path)


def test_a_large_file_is_not_parsed_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(structure, "_PARSED_LIMIT", 10)
    assert problems(path, inputs=()) == []
