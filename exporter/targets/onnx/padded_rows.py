"""Put the zeros of padded rows where runtimes still know the attention around them.

Attention is recorded with a factor that is 0 for a query without a key and 1 for every other
(`exporter.models.attention`). Runtimes and their optimizers replace attention as a whole where nothing
stands between the products, the transposition and the projection that follows. So the factor goes behind the
projection, into its bias: ``(x * f) @ W + b`` becomes ``x @ W + (b + (x @ W) * (f - 1))``.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def move_factors(graph: ir.Graph) -> None:
    """Move the factors of padded rows behind the projections that have a bias, in place; leave all others."""
    lacking: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        if node.op_type == "Mul" and node.domain in ("", "ai.onnx"):
            factor, projection = _factor_of(node), _projection_of(node)
            if factor is not None and projection is not None:
                _move(graph, node, projection, lacking.get(factor) or _subtract_one(graph, node, factor, lacking))


def _factor_of(product: ir.Node) -> ir.Value | None:
    """Return the factor float[batch, query, 1] that a product has as float[batch, query, 1, 1], or None.

    A mask of its own for each head has another factor, with a transposition where this one has a ``Gather``.
    """
    steps = ("Unsqueeze", "Unsqueeze", "Gather", "Clip", "ReduceSum", "Cast")
    found = [_producer(product.inputs[1], steps[0])]
    for step in steps[1:]:
        found.append(_producer(found[-1].inputs[0], step) if found[-1] is not None else None)
    spread, mask = found[1], found[-1]
    if spread is None or mask is None:
        return None
    spread.outputs[0].type = mask.outputs[0].type
    return spread.outputs[0]


def _projection_of(product: ir.Node) -> tuple[ir.Node, ir.Node] | None:
    """Return the matrix product and the addition of the bias that a product's rows go into, or None."""
    joined = _only_reader(product, "Reshape")
    projected = _only_reader(joined, "MatMul") if joined is not None else None
    added = _only_reader(projected, "Add") if projected is not None else None
    if projected is None or added is None:
        return None
    has_bias = any(value is not None and value.is_initializer() for value in added.inputs)
    weight = projected.inputs[1]
    return (projected, added) if has_bias and weight is not None and weight.is_initializer() else None


def _producer(value: ir.Value | None, *operators: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in operators else None


def _only_reader(node: ir.Node, operator: str) -> ir.Node | None:
    uses = list(node.outputs[0].uses())
    is_alone = len(uses) == 1 and uses[0].node.op_type == operator and not node.outputs[0].is_graph_output()
    return uses[0].node if is_alone else None


def _subtract_one(graph: ir.Graph, before: ir.Node, factor: ir.Value, lacking: dict[ir.Value, ir.Value]) -> ir.Value:
    """Return ``factor - 1``, computed once for each factor: 0 where nothing is lacking, -1 where no key is left."""
    dtype = factor.dtype or ir.DataType.FLOAT
    one = ir.Value(
        name=f"{factor.name}/one",
        shape=ir.Shape([]),
        type=ir.TensorType(dtype),
        const_value=ir.tensor(np.array(1, dtype=dtype.numpy()), dtype=dtype, name=f"{factor.name}/one"),
    )
    graph.initializers.add(one)
    node = ir.node("Sub", [factor, one], name=f"{factor.name}/lacking")
    node.outputs[0].name = f"{node.name}_output"
    node.outputs[0].type = ir.TensorType(dtype)
    graph.insert_before(before, node)
    lacking[factor] = node.outputs[0]
    return node.outputs[0]


def _move(graph: ir.Graph, product: ir.Node, projection: tuple[ir.Node, ir.Node], lacking: ir.Value) -> None:
    projected, added = projection
    rows = product.inputs[0]
    if rows is None:
        return
    ir.convenience.replace_all_uses_with(product.outputs[0], rows)
    index = next(index for index, value in enumerate(added.inputs) if value is not projected.outputs[0])
    bias = added.inputs[index]
    taken = ir.node("Mul", [projected.outputs[0], lacking], name=f"{product.name or product.outputs[0].name}/taken")
    moved = ir.node("Add", [bias, taken.outputs[0]], name=f"{taken.name}/bias")
    for node in (taken, moved):
        node.outputs[0].name = f"{node.name}_output"
        node.outputs[0].type = projected.outputs[0].type
    graph.insert_before(added, [taken, moved])
    added.replace_input_with(index, moved.outputs[0])
    graph.remove(product, safe=True)
