"""Rewrite what only one runtime reads as PyTorch does into operators every runtime agrees on.

A pooling window that covers the whole image is how a model says "global": PyTorch clips the window to the image, and so
does ONNX Runtime. Other runtimes refuse a window larger than its input, or divide by the size of the whole window.

A model of another dtype may compute a table in bfloat16. ONNX Runtime multiplies no bfloat16 on a CPU, but converts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx_ir as ir

from exporter.targets.onnx.weights import skeleton

_GLOBAL = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


def rewrite_portably(model: ir.Model) -> None:
    """Rewrite a model in place: pooling in one window as global pooling, products of bfloat16 in float32.

    Pooling is rewritten where the sizes of the image are known: an image that may be larger than the window at run time
    keeps its window. A model whose inputs or outputs are bfloat16 keeps its products.
    """
    pooling = [node for node in model.graph if node.op_type in _GLOBAL and node.domain in ("", "ai.onnx")]
    _infer_images(model, [node.inputs[0] for node in pooling if node.inputs[0] is not None])
    for node in pooling:
        if _is_global(node):
            _make_global(model.graph, node)
    if not any(value.dtype == ir.DataType.BFLOAT16 for value in (*model.graph.inputs, *model.graph.outputs)):
        for node in [node for node in model.graph if node.op_type == "Mul" and node.domain in ("", "ai.onnx")]:
            if node.outputs[0].dtype == ir.DataType.BFLOAT16:
                _widen(model.graph, node)


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    """Multiply in float32 and round: a product of two bfloat16 numbers is a float32 number, so it is rounded once."""
    old = node.outputs[0]
    wide = [ir.node("Cast", [factor], {"to": ir.DataType.FLOAT}) for factor in node.inputs]
    product = ir.node("Mul", [cast.outputs[0] for cast in wide], name=node.name)
    product.metadata_props.update(node.metadata_props)
    narrow = ir.node("Cast", product.outputs, {"to": ir.DataType.BFLOAT16})
    for value in (*(cast.outputs[0] for cast in wide), product.outputs[0]):
        value.type = ir.TensorType(ir.DataType.FLOAT)
    narrow.outputs[0].type, narrow.outputs[0].shape = old.type, old.shape
    graph.insert_before(node, [*wide, product, narrow])
    ir.convenience.replace_all_uses_with(old, narrow.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _infer_images(model: ir.Model, images: list[ir.Value]) -> None:
    """Fill in the shapes that the tracer left open behind padding whose amounts were no constants yet."""
    unknown = {image.name: image for image in images if not _has_sizes(image)}
    if not unknown:
        return
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
    for value in map(ir.from_proto, inferred.graph.value_info):
        image = unknown.get(value.name)
        if image is not None and value.shape is not None:
            # Sizes alone: a runtime that is told what a symbol stands for at the inputs would find it again in here.
            image.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])
            image.type = value.type


def _has_sizes(image: ir.Value) -> bool:
    return image.shape is not None and all(isinstance(size, int) for size in image.shape[2:])


@dataclass(frozen=True, slots=True)
class _Window:
    """A pooling window along one axis: its width, its step, and the padding before and after the image."""

    width: int
    stride: int
    before: int
    after: int

    def is_alone(self, size: int, *, rounds_up: bool) -> bool:
        """Tell whether an image of this size has a single window, which covers it."""
        room = size + self.before + self.after - self.width
        steps = -(-room // self.stride) if rounds_up else room // self.stride
        return steps == 0 and self.width - self.before >= size


def _is_global(node: ir.Node) -> bool:
    """Tell whether the pooling has one window, and that window covers the image and counts nothing but the image."""
    image = node.inputs[0]
    if image is None or image.shape is None or len(node.outputs) != 1:
        return False  # unknown sizes, or MaxPool that also gives the places of the maxima
    sizes = image.shape[2:]
    widths = _ints(node, "kernel_shape", ())
    axes = len(widths)
    if axes != len(sizes) or not all(isinstance(size, int) for size in sizes):
        return False
    automatic = node.attributes.get("auto_pad")
    if automatic is not None and automatic.as_string() not in ("NOTSET", "VALID"):
        return False
    if any(step != 1 for step in _ints(node, "dilations", (1,) * axes)):
        return False
    pads = _ints(node, "pads", (0,) * (2 * axes))
    if any(pads) and node.op_type == "AveragePool" and _int(node, "count_include_pad"):
        return False  # zeros around the image are part of the mean
    strides, rounds_up = _ints(node, "strides", (1,) * axes), bool(_int(node, "ceil_mode"))
    windows = map(_Window, widths, strides, pads[:axes], pads[axes:])
    return all(window.is_alone(size, rounds_up=rounds_up) for size, window in zip(sizes, windows, strict=True))


def _int(node: ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return int(attribute.as_int()) if attribute is not None else 0


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return tuple(attribute.as_ints()) if attribute is not None else default


def _make_global(graph: ir.Graph, node: ir.Node) -> None:
    old = node.outputs[0]
    pooled = ir.node(_GLOBAL[node.op_type], [node.inputs[0]], name=node.name)
    pooled.metadata_props.update(node.metadata_props)
    new = pooled.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_before(node, [pooled])
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    name = old.name
    graph.remove(node, safe=True)
    new.name = name
