"""Pooling that covers the whole image becomes global, and bfloat16 is multiplied in float32: any runtime has both."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from exporter.targets.onnx.portable import rewrite_portably

IMAGE = (2, 3, 5, 7)


def pooling(op: str, sizes: tuple[int | str, ...] = IMAGE, outputs: int = 1, **attributes: object) -> ir.Model:
    names = ["pooled", "places"][:outputs]
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["image"], ["features"]),
            helper.make_node(op, ["features"], names, name="pool", **attributes),
        ],
        "pooling",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, (sizes[0], 3, None, None))],
        value_info=[helper.make_tensor_value_info("features", TensorProto.FLOAT, sizes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    return ir.from_proto(model)


def operators(model: ir.Model) -> list[str]:
    rewrite_portably(model)
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [5, 7]},
        {"kernel_shape": [5, 7], "strides": [5, 7]},
        {"kernel_shape": [1280, 1280], "strides": [1280, 1280], "ceil_mode": 1},
        {"kernel_shape": [5, 7], "count_include_pad": 1},
        {"kernel_shape": [7, 9], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [5, 7], "auto_pad": "VALID"},
    ],
)
@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_a_window_that_covers_the_image_is_global(op, attributes):
    if op == "MaxPool":
        attributes = {name: value for name, value in attributes.items() if name != "count_include_pad"}
    model = pooling(op, **attributes)
    assert operators(model) == ["Relu", {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}[op]]
    assert model.graph.outputs[0].name == "pooled"
    image = np.random.default_rng(0).standard_normal(IMAGE).astype(np.float32)
    (pooled,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"image": image})
    features = np.maximum(image, 0)
    expected = features.mean((2, 3), keepdims=True) if op == "AveragePool" else features.max((2, 3), keepdims=True)
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "attributes"),
    [
        (IMAGE, {"kernel_shape": [5, 5]}),
        (IMAGE, {"kernel_shape": [3, 7], "strides": [2, 2]}),
        # A larger window at a small stride has further windows, or none.
        (IMAGE, {"kernel_shape": [9, 9], "strides": [1, 1], "ceil_mode": 1}),
        (IMAGE, {"kernel_shape": [7, 9], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        (IMAGE, {"kernel_shape": [5, 7], "pads": [1, 1, 1, 1]}),
        (IMAGE, {"kernel_shape": [5, 7], "auto_pad": "SAME_UPPER"}),
        # An image that is larger at run time would have more than one window.
        (("batch", 3, "height", 7), {"kernel_shape": [5, 7]}),
        (("batch", 3, "height", "width"), {"kernel_shape": [1280, 1280], "strides": [1280, 1280], "ceil_mode": 1}),
    ],
)
def test_any_other_window_stays(sizes, attributes):
    assert operators(pooling("AveragePool", sizes, **attributes)) == ["Relu", "AveragePool"]


def test_the_places_of_the_maxima_need_the_window():
    assert operators(pooling("MaxPool", outputs=2, kernel_shape=[5, 7])) == ["Relu", "MaxPool"]


def test_the_size_of_the_image_is_inferred_where_the_tracer_left_it_open():
    model = pooling("AveragePool", kernel_shape=[5, 7])
    model.graph[0].outputs[0].shape = None
    assert operators(model) == ["Relu", "GlobalAveragePool"]


def test_a_batch_may_be_dynamic():
    model = pooling("AveragePool", ("batch", 3, 5, 7), kernel_shape=[5, 7])
    assert operators(model) == ["Relu", "GlobalAveragePool"]
    onnx.checker.check_model(ir.to_proto(model))


def test_an_inferred_image_has_sizes_and_no_symbols():
    model = pooling("AveragePool", ("batch", 3, 5, 7), kernel_shape=[5, 7])
    model.graph[0].outputs[0].shape = None
    assert operators(model) == ["Relu", "GlobalAveragePool"]
    shape = model.graph[0].outputs[0].shape
    assert shape is not None
    assert [size if isinstance(size, int) else size.value for size in shape] == [None, 3, 5, 7]


def test_pytorch_clips_the_window_to_the_image():
    image = torch.randn(IMAGE)
    pooled = torch.nn.AvgPool2d(1280, ceil_mode=True)(image)
    torch.testing.assert_close(pooled, image.mean((2, 3), keepdim=True))


def product(dtype: int) -> ir.Model:
    """Return a model that multiplies in bfloat16 and gives the product in a dtype."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["positions"], ["narrow"], to=TensorProto.BFLOAT16),
            helper.make_node("Mul", ["narrow", "slopes"], ["product"]),
            helper.make_node("Cast", ["product"], ["bias"], to=dtype),
        ],
        "product",
        [helper.make_tensor_value_info("positions", TensorProto.INT64, ("length",))],
        [helper.make_tensor_value_info("bias", dtype, ("length",))],
        [helper.make_tensor("slopes", TensorProto.BFLOAT16, (1,), [0.7])],
        value_info=[helper.make_tensor_value_info("product", TensorProto.BFLOAT16, ("length",))],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def test_bfloat16_is_multiplied_in_float32_with_the_same_rounding():
    model = product(TensorProto.FLOAT)
    assert operators(model) == ["Cast", "Cast", "Cast", "Mul", "Cast", "Cast"]
    positions = np.arange(3000)
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    (bias,) = session.run(None, {"positions": positions})
    expected = torch.from_numpy(positions).bfloat16() * torch.tensor([0.7]).bfloat16()
    np.testing.assert_array_equal(bias, expected.float().numpy())


def test_a_model_of_bfloat16_is_left_alone():
    assert operators(product(TensorProto.BFLOAT16)) == ["Cast", "Mul", "Cast"]
