"""Adaptive average pooling in operators every opset has: a product with a matrix of window weights for each axis.

ONNX pools in windows of one size, so the tracer can only write the case in which the output divides the image.
PyTorch's windows go from ``floor(i * size / count)`` to ``ceil((i + 1) * size / count)`` and may overlap or repeat. The
weights of the windows are computed from the image's size inside the graph, and fold to constants where it is fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_OPERATOR = "aten::adaptive_avg_pool2d"


@contextmanager
def adaptive_pooling(opset: int) -> Iterator[None]:
    """Let the TorchScript tracer write adaptive average pooling to any number of windows while the context lasts."""
    from torch.onnx import symbolic_helper
    from torch.onnx._internal.torchscript_exporter._type_utils import JitScalarType

    exporter: Any = torch.onnx  # its registration is public but not in what the package exports to type checkers

    def pool(graph: Any, image: Any, output_size: Any) -> Any:
        counts = symbolic_helper._maybe_get_const(output_size, "is")
        if list(counts) == [1, 1]:
            return graph.op("GlobalAveragePool", image)
        dtype = JitScalarType.from_value(image).onnx_type()
        rows, columns = (_weights(graph, image, axis, count, dtype) for axis, count in zip((2, 3), counts, strict=True))
        across = graph.op("MatMul", image, graph.op("Transpose", columns, perm_i=[1, 0]))
        return graph.op("MatMul", rows, across)

    exporter.register_custom_op_symbolic(_OPERATOR, pool, opset)
    try:
        yield
    finally:
        exporter.unregister_custom_op_symbolic(_OPERATOR, opset)


def _weights(graph: Any, image: Any, axis: int, count: int, dtype: Any) -> Any:
    """Return the matrix ``[count, size]`` whose rows average one window each."""

    def constant(value: Any) -> Any:
        return graph.op("Constant", value_t=torch.as_tensor(value, dtype=torch.int64))

    size = graph.op("Gather", graph.op("Shape", image), constant(axis), axis_i=0)
    index = torch.arange(count).unsqueeze(1)
    start = graph.op("Div", graph.op("Mul", constant(index), size), constant(count))
    rounded = graph.op("Add", graph.op("Mul", constant(index + 1), size), constant(count - 1))
    end = graph.op("Div", rounded, constant(count))
    place = graph.op("Range", constant(0), size, constant(1))
    inside = graph.op("And", graph.op("Not", graph.op("Less", place, start)), graph.op("Less", place, end))
    length = graph.op("Cast", graph.op("Sub", end, start), to_i=dtype)
    return graph.op("Div", graph.op("Cast", inside, to_i=dtype), length)
