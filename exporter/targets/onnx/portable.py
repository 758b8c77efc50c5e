"""Rewrite what only one runtime reads as PyTorch does into operators every runtime agrees on.

A pooling window that covers the whole image is how a model says "global": PyTorch clips the window to the image, and so does ONNX
Runtime. Other runtimes refuse a window larger than its input, or divide by the size of the whole window.

A model of another dtype may compute a table in bfloat16. ONNX Runtime multiplies no bfloat16 on a CPU, but converts it.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from exporter.targets.onnx.weights import skeleton

_GLOBAL = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


def rewrite_portably(model: ir.Model) -> None:
    """Replace pooling whose one window covers the whole image by global pooling, and multiply bfloat16 in float32, in place.

    The sizes of the image have to be known: an image that may be larger than the window at run time is left alone. So is a model
    that is bfloat16 as a whole.
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
    """Multiply in float32 and round. A product of two bfloat16 numbers is a float32 number, so it is rounded once as before."""
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
    """Fill in the shapes the tracer left open: it could not look through padding whose amounts were not constants yet."""
    unknown = {image.name: image for image in images if not _has_sizes(image)}
    if not unknown:
        return
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
    for found in map(ir.from_proto, inferred.graph.value_info):
        image = unknown.get(found.name)
        if image is not None and found.shape is not None:
            # Sizes alone: a runtime that is told what a symbol stands for at the inputs would find it again in here.
            image.shape = ir.Shape([size if isinstance(size, int) else None for size in found.shape])
            image.type = found.type


def _has_sizes(image: ir.Value) -> bool:
    return image.shape is not None and all(isinstance(size, int) for size in image.shape[2:])


def _is_global(node: ir.Node) -> bool:
    """Tell whether the pooling has one window, and that window covers the image and counts nothing but the image."""
    image = node.inputs[0]
    if image is None or image.shape is None or len(node.outputs) != 1:
        return False  # unknown sizes, or MaxPool that also gives the places of the maxima
    sizes = image.shape[2:]
    window = _ints(node, "kernel_shape", ())
    axes = len(window)
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
    return all(
        _is_one_window(size, width, stride, before, after, rounds_up=rounds_up)
        for size, width, stride, before, after in zip(sizes, window, strides, pads[:axes], pads[axes:], strict=True)
    )


def _is_one_window(size: int, width: int, stride: int, before: int, after: int, *, rounds_up: bool) -> bool:
    """Tell whether an axis has a single window, which covers it."""
    room = size + before + after - width
    steps = -(-room // stride) if rounds_up else room // stride
    return steps == 0 and width - before >= size


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
