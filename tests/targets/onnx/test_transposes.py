"""Weights are written the way their products read them, so that no runtime needs a second copy."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from exporter.targets.onnx.transposes import fold_transposes
from exporter.targets.onnx.weights import WeightTensor

WEIGHT = torch.arange(12.0).reshape(4, 3)
IDS = np.array([[1, 0, 3], [2, 2, 1]])


def model_with(nodes: list[onnx.NodeProto], outputs: dict[str, tuple[int | str, ...]]) -> ir.Model:
    """Return a graph of ``x [batch, sequence, 3]`` and ``ids`` with the weight ``w [4, 3]``."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", "sequence", 3)),
        helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch", "sequence")),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, (4, 3)),
    ]
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "g", inputs, described)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    value = model.graph.inputs.pop()
    value.const_value = WeightTensor(WEIGHT, "w")
    model.graph.initializers.add(value)
    return model


def run(model: ir.Model) -> list[np.ndarray]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 3, 3)).astype(np.float32)
    return ReferenceEvaluator(proto).run(None, {"x": x, "ids": IDS})


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def product(name: str = "y") -> onnx.NodeProto:
    return helper.make_node("MatMul", ["x", "turned"], [name], name="product")


TRANSPOSE = helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0])
OUTPUT = {"y": ("batch", "sequence", 4)}


def test_a_weight_that_is_only_read_transposed_is_written_transposed():
    model = model_with([TRANSPOSE, product()], OUTPUT)
    before = run(model)
    fold_transposes(model.graph)
    assert operators(model) == ["MatMul"]
    assert list(model.graph.initializers) == ["w.T"]
    weight = model.graph.initializers["w.T"].const_value
    assert isinstance(weight, WeightTensor)
    assert tuple(weight.shape) == (3, 4)
    # A view: no element was copied.
    assert weight.raw.data_ptr() == WEIGHT.data_ptr()
    for old, new in zip(before, run(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


def test_two_equal_transposes_share_the_weight():
    again = helper.make_node("Transpose", ["w"], ["turned again"], perm=[1, 0])
    other = helper.make_node("MatMul", ["x", "turned again"], ["z"])
    model = model_with([TRANSPOSE, product(), again, other], {**OUTPUT, "z": OUTPUT["y"]})
    fold_transposes(model.graph)
    assert operators(model) == ["MatMul", "MatMul"]
    assert list(model.graph.initializers) == ["w.T"]
    first, second = run(model)
    np.testing.assert_array_equal(first, second)


def tied(*nodes: onnx.NodeProto, outputs: dict[str, tuple[int | str, ...]]) -> ir.Model:
    """Return a graph that also reads the weight as it is, the way tied embeddings are."""
    embed = helper.make_node("Gather", ["w", "ids"], ["embedded"])
    return model_with([embed, TRANSPOSE, *nodes], {"embedded": ("batch", "sequence", 3), **outputs})


def test_a_tied_weight_is_written_once_and_multiplied_by_gemm():
    model = tied(product(), outputs=OUTPUT)
    before = run(model)
    fold_transposes(model.graph)
    assert "Transpose" not in operators(model)
    assert "MatMul" not in operators(model)
    assert operators(model).count("Gemm") == 1
    weights = [value.name for value in model.graph.initializers.values() if isinstance(value.const_value, WeightTensor)]
    assert weights == ["w"]
    assert [value.name for value in model.graph.outputs] == ["embedded", "y"]
    for old, new in zip(before, run(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


def test_a_transpose_that_is_read_otherwise_stays_for_its_reader():
    read = helper.make_node("Relu", ["turned"], ["z"])
    model = tied(product(), read, outputs={**OUTPUT, "z": (3, 4)})
    before = run(model)
    fold_transposes(model.graph)
    assert operators(model).count("Transpose") == 1
    assert operators(model).count("Gemm") == 1
    for old, new in zip(before, run(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


@pytest.mark.parametrize("perm", [[1, 0], None], ids=["permutation", "default"])
def test_a_transpose_without_a_permutation_is_its_reversal(perm: list[int] | None):
    attributes = {"perm": perm} if perm is not None else {}
    turned = helper.make_node("Transpose", ["w"], ["turned"], **attributes)
    model = model_with([turned, product()], OUTPUT)
    before = run(model)
    fold_transposes(model.graph)
    for old, new in zip(before, run(model), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


def test_the_transpose_of_what_is_no_weight_stays():
    turned = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    model = model_with([turned], {"y": ("batch", 3, "sequence")})
    fold_transposes(model.graph)
    assert operators(model) == ["Transpose"]
