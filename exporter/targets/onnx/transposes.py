"""Write weights the way their matrix products read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from exporter.targets.onnx.weights import WeightTensor


def fold_transposes(recorded: ir.Graph) -> None:
    """Write weights the way their matrix products read them.

    A runtime that folds ``Transpose(W)`` itself holds a second copy of every weight. A weight that is also read as it
    is (tied embeddings) is written once, and its product becomes a ``Gemm`` that transposes as it reads.
    """
    for node in list(recorded):
        if node.op_type != "Transpose" or node.domain not in ("", "ai.onnx"):
            continue
        source = node.inputs[0]
        weight = source.const_value if source is not None else None
        if source is None or not isinstance(weight, WeightTensor):
            continue
        attribute = node.attributes.get("perm")
        permutation = tuple(attribute.as_ints()) if attribute is not None else tuple(reversed(range(len(weight.shape))))
        if all(use.node.op_type == "Transpose" and _permutation(use.node) == permutation for use in source.uses()):
            name = f"{source.name}.T"
            if name not in recorded.initializers:
                folded = weight.permuted(permutation, name)
                recorded.initializers.add(
                    ir.Value(name=name, shape=folded.shape, type=ir.TensorType(folded.dtype), const_value=folded)
                )
            ir.convenience.replace_all_uses_with(node.outputs[0], recorded.initializers[name])
            recorded.remove(node, safe=True)
            if not source.uses():
                recorded.initializers.pop(str(source.name), None)
        elif permutation == (1, 0):
            _multiply_transposed(recorded, node, source)


def _permutation(node: ir.Node) -> tuple[int, ...] | None:
    attribute = node.attributes.get("perm")
    return tuple(attribute.as_ints()) if attribute is not None else None


def _multiply_transposed(recorded: ir.Graph, transpose: ir.Node, weight: ir.Value) -> None:
    """Replace every ``MatMul(x, Transpose(W))`` by ``Gemm(x, W, transB=1)``; drop a transpose nothing reads then."""
    for use in list(transpose.outputs[0].uses()):
        if use.node.op_type == "MatMul" and use.idx == 1 and weight.shape is not None:
            _write_gemm(recorded, use.node, weight)
    if not transpose.outputs[0].uses() and transpose.outputs[0] not in recorded.outputs:
        recorded.remove(transpose, safe=True)


def _write_gemm(recorded: ir.Graph, product: ir.Node, weight: ir.Value) -> None:
    """Write a product ``x @ W.T`` as a ``Gemm``, between reshapes of ``x`` to a matrix and of the product back."""
    rows, columns = int(weight.shape[0]), int(weight.shape[1])
    x, y = product.inputs[0], product.outputs[0]
    prefix = f"{product.name or y.name}/gemm"
    added: list[ir.Node] = []

    def constant(values: list[int], suffix: str) -> ir.Value:
        data = ir.tensor(values, dtype=ir.DataType.INT64, name=f"{prefix}_{suffix}")
        value = ir.Value(
            name=data.name, shape=ir.Shape([len(values)]), type=ir.TensorType(ir.DataType.INT64), const_value=data
        )
        recorded.initializers.add(value)
        return value

    def write(op: str, inputs: list[ir.Value], attributes: Mapping[str, Any] | None = None) -> ir.Value:
        node = ir.node(op, inputs, attributes=attributes, name=f"{prefix}_{op}_{len(added)}")
        node.outputs[0].name = f"{node.name}_output"
        added.append(node)
        return node.outputs[0]

    matrix = write("Reshape", [x, constant([-1, columns], "matrix")])
    gemm = write("Gemm", [matrix, weight], {"transB": 1})
    shape = write("Shape", [x])
    kept = write("Slice", [shape, constant([0], "start"), constant([-1], "end")])
    target = write("Concat", [kept, constant([rows], "rows")], {"axis": 0})
    back = write("Reshape", [gemm, target])
    back.type, back.shape = y.type, y.shape
    recorded.insert_before(product, added)
    name = y.name
    ir.convenience.replace_all_uses_with(y, back, replace_graph_outputs=True)
    recorded.remove(product, safe=True)
    back.name = name
