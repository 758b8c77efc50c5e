"""The factors of padded rows move behind the projections, where they hide no attention from a runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from exporter.targets.onnx.padded_rows import move_factors

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
MASK = np.array([[[[True, False], [False, False], [True, True]]], [[[False, False]] * 3]])
WEIGHT, BIAS = RNG.standard_normal((20, 6)).astype(np.float32), RNG.standard_normal(6).astype(np.float32)


def model_of(*, biased: bool = True, heads: int = 1, read_twice: bool = False) -> ir.Model:
    """Return ``(rows * factor) @ weight + bias`` for rows [batch, query, heads, size], as attention is recorded."""
    steps = [
        ("Cast", ["mask"], "counted", {"to": TensorProto.FLOAT}),
        ("ReduceSum", ["counted", "last"], "summed", {"keepdims": 0}),
        ("Clip", ["summed", "", "one"], "clipped", {}),
        ("Gather", ["clipped", "zero"], "first", {"axis": 1}),
        ("Unsqueeze", ["first", "last"], "row", {}),
        ("Unsqueeze", ["row", "last"], "factor", {}),
        ("Mul", ["rows", "factor"], "kept", {}),
        ("Reshape", ["kept", "joined"], "matrix", {}),
        ("MatMul", ["matrix", "weight"], "projected" if biased else "y", {}),
    ]
    if heads > 1:
        steps[3:6] = [
            ("Transpose", ["clipped"], "first", {"perm": [0, 2, 1]}),
            ("Unsqueeze", ["first", "last"], "factor", {}),
        ]
    if biased:
        steps.append(("Add", ["bias", "projected"], "y", {}))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 3, 6))]
    if read_twice:
        outputs.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, ROWS.shape))
    constants = {
        "last": np.array([-1]),
        "one": np.array(1, np.float32),
        "zero": np.array(0),
        "joined": np.array([0, 0, 20]),
        "weight": WEIGHT,
        "bias": BIAS,
    }
    graph = helper.make_graph(
        [helper.make_node(operator, given, [made], **attributes) for operator, given, made, attributes in steps],
        "g",
        [
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, ROWS.shape),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, (2, heads, 3, 2)),
        ],
        outputs,
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def run(model: ir.Model, heads: int = 1) -> list[np.ndarray]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return ReferenceEvaluator(proto).run(None, {"rows": ROWS, "mask": np.repeat(MASK, heads, 1)})


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_a_factor_moves_into_the_bias():
    model = model_of()
    expected = run(model)
    move_factors(model.graph)
    assert operators(model)[-6:] == ["Sub", "Reshape", "MatMul", "Mul", "Add", "Add"]
    np.testing.assert_allclose(run(model)[0], expected[0], atol=1e-6)
    # A padded row is left with the bias alone.
    np.testing.assert_allclose(expected[0][1], np.broadcast_to(BIAS, (3, 6)), atol=1e-6)


@pytest.mark.parametrize(
    "kind", [{"biased": False}, {"heads": 4}, {"read_twice": True}], ids=["no bias", "a mask per head", "read twice"]
)
def test_a_factor_stays_where_it_cannot_move(kind: dict[str, int]):
    model = model_of(**kind)
    before = operators(model)
    expected = run(model, kind.get("heads", 1))
    move_factors(model.graph)
    assert operators(model) == before
    np.testing.assert_array_equal(run(model, kind.get("heads", 1))[0], expected[0])
