"""Make a traced graph the graph that was planned: its names, axes and dtypes, without debris.

Steps in the order they are applied: separate weights, fold shape arithmetic, name and shape inputs and outputs,
attach weights, fold their transposes, rewrite what is not portable. Every step works on the ``onnx_ir`` model in
place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript.optimizer import fold_constants_ir

from exporter.errors import ExportError
from exporter.planning.dtypes import NUMPY_DTYPES
from exporter.planning.plan import GraphPlan, TensorPlan
from exporter.targets.onnx.padded_rows import move_factors
from exporter.targets.onnx.portable import rewrite_portably
from exporter.targets.onnx.tracers import Trace
from exporter.targets.onnx.transposes import fold_transposes
from exporter.targets.onnx.weights import WeightTensor
from exporter.versions import installed_version

# A folded constant is shape arithmetic or a small table, never a weight.
_FOLD_LIMIT = 4096
_KEPT_METADATA = "pkg.torch.onnx.name_scopes"


def finish_graph(trace: Trace, graph: GraphPlan, opset: int) -> ir.Model:
    """Return the planned graph with its weights attached as lazily written initializers.

    Raises:
        ExportError: the tracer dropped an input, baked an axis in, or gave another dtype than declared.
    """
    model = trace.model
    _separate_weights(model.graph, trace, graph)
    _simplify(model)
    _conform_values(model.graph, graph)
    _attach_weights(model.graph, trace.weights)
    fold_transposes(model.graph)
    move_factors(model.graph)
    rewrite_portably(model)
    common.RemoveUnusedNodesPass()(model)
    _sort_initializers(model.graph)
    _label(model, opset)
    return model


def weights_of(model: ir.Model) -> list[WeightTensor]:
    """Return the weights attached to a graph, in the order they are written."""
    values = model.graph.initializers.values()
    return [value.const_value for value in values if isinstance(value.const_value, WeightTensor)]


def _separate_weights(recorded: ir.Graph, trace: Trace, graph: GraphPlan) -> None:
    """Turn every weight into a nameable value without data, so that no later step can fold or copy it."""
    declared = len(graph.inputs)
    # The TorchScript tracer adds weights behind the declared inputs.
    del recorded.inputs[declared:]
    for name in trace.weights:
        value = recorded.initializers.pop(name, None)
        if value is not None:
            value.const_value = None


def _simplify(model: ir.Model) -> None:
    """Fold shape arithmetic and drop what nothing reads.

    The rewrites of onnxscript's optimiser are left out: one of them takes time quadratic in the depth of the model.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=_FOLD_LIMIT)(model)
    fold_constants_ir(
        model,
        onnx_shape_inference=False,
        input_size_limit=_FOLD_LIMIT,
        output_size_limit=_FOLD_LIMIT,
        should_fold=_is_small_fill,
    )
    _write_constants_as_tensors(model)
    common.IdentityEliminationPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    for node in model.graph.all_nodes():
        node.doc_string = None
        scopes = node.metadata_props.get(_KEPT_METADATA)
        node.metadata_props.clear()
        if scopes is not None:
            node.metadata_props[_KEPT_METADATA] = scopes
    for value in _all_values(model.graph):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()


def _is_small_fill(node: ir.Node) -> bool | None:
    """Tell the folder to fold a ``ConstantOfShape`` that makes few values, and None of any other node: its own rule.

    The folder would leave every ``ConstantOfShape``, and the amounts of padding are made of them.
    """
    if node.op_type != "ConstantOfShape" or node.inputs[0] is None:
        return None
    shape = node.inputs[0].const_value
    return True if shape is not None and math.prod(map(int, shape.numpy())) <= _FOLD_LIMIT else None


def _write_constants_as_tensors(model: ir.Model) -> None:
    """Give constants their value as a tensor, where folding wrote it as plain numbers: opset 11 has tensors alone."""
    dtypes = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    for node in model.graph.all_nodes():
        if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
            continue
        for name, dtype in dtypes.items():
            attribute = node.attributes.pop(name, None)
            if attribute is not None:
                node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.array(attribute.value, dtype)))


def _all_values(recorded: ir.Graph) -> Iterable[ir.Value]:
    yield from recorded.inputs
    yield from recorded.initializers.values()
    for node in recorded.all_nodes():
        yield from node.outputs


def _conform_values(recorded: ir.Graph, graph: GraphPlan) -> None:
    """Give inputs and outputs their planned names and shapes, and inner values the planned names of their dims."""
    if len(recorded.inputs) != len(graph.inputs) or len(recorded.outputs) != len(graph.outputs):
        raise ExportError(
            f"the tracer recorded {len(recorded.inputs)} inputs and {len(recorded.outputs)} outputs "
            f"for '{graph.component}', where {len(graph.inputs)} and {len(graph.outputs)} are declared"
        )
    symbols = _symbols(recorded.inputs, graph.inputs)
    taken = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
    for value in _all_values(recorded):
        if value.name in taken:
            value.name = f"{value.name}_inner"
    for value, tensor in zip(recorded.inputs, graph.inputs, strict=True):
        if not value.uses() and tensor.unused is None and value not in recorded.outputs:
            raise ExportError(
                f"the graph of '{graph.component}' does not read its input '{tensor.name}': "
                "the model ignores it, or the tracer lost it",
                help="remove the input from the spec, or declare it with 'unused: true' and 'because:'",
            )
        _conform(value, tensor, "input")
    _part_outputs(recorded)
    for value, tensor in zip(recorded.outputs, graph.outputs, strict=True):
        _conform(value, tensor, "output")
    boundary = {*recorded.inputs, *recorded.outputs}
    for value in _all_values(recorded):
        if value not in boundary and value.shape is not None:
            value.shape = _rename_symbols(value.shape, symbols)


def _part_outputs(recorded: ir.Graph) -> None:
    """Give every output a value of its own, so that each can have its name.

    A model may give one value twice, or an input as it is; each such output becomes the ``Identity`` of that value.
    """
    seen: set[ir.Value] = set()
    for index, value in enumerate(list(recorded.outputs)):
        if value in seen or value.producer() is None:
            node = ir.node("Identity", [value])
            node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
            recorded.append(node)
            recorded.outputs[index] = node.outputs[0]
        seen.add(recorded.outputs[index])


def _conform(value: ir.Value, tensor: TensorPlan, role: str) -> None:
    """Give a boundary value its planned name and shape, after checking that the tracer does not contradict them."""
    dtype = ir.DataType.from_numpy(NUMPY_DTYPES[tensor.dtype])
    if value.dtype is not None and value.dtype != dtype:
        raise ExportError(
            f"the {role} '{tensor.name}' is {str(value.dtype).lower()} in the graph, and {tensor.dtype} is declared",
            help="correct the dtype in the spec",
        )
    if value.shape is not None:
        if len(value.shape) != len(tensor.shape):
            raise ExportError(
                f"the {role} '{tensor.name}' has {len(value.shape)} axes in the graph, "
                f"and {len(tensor.shape)} are declared"
            )
        for index, (size, axis) in enumerate(zip(value.shape, tensor.shape, strict=True)):
            if isinstance(size, int) and isinstance(axis, str):
                raise ExportError(
                    f"axis {index} of the {role} '{tensor.name}' is declared as '{axis}', "
                    f"but the tracer baked it in as {size}",
                    help="the model computes with this size as a constant: make the dim static, "
                    "or try the other tracer",
                )
            if isinstance(size, int) and isinstance(axis, int) and size != axis:
                raise ExportError(
                    f"axis {index} of the {role} '{tensor.name}' has length {size}, and {axis} is declared"
                )
    value.name = tensor.name
    value.type = ir.TensorType(dtype)
    value.shape = ir.Shape(tensor.shape)


def _symbols(values: Iterable[ir.Value], tensors: Iterable[TensorPlan]) -> dict[str, str]:
    """Return the declared dim behind each anonymous symbol of the tracer."""
    symbols: dict[str, str] = {}
    for value, tensor in zip(values, tensors, strict=True):
        for symbol, axis in zip(value.shape or (), tensor.shape, strict=False):
            if isinstance(symbol, ir.SymbolicDim) and symbol.value is not None and isinstance(axis, str):
                symbols.setdefault(str(symbol.value), axis)
    return symbols


def _rename_symbols(shape: ir.Shape, symbols: Mapping[str, str]) -> ir.Shape:
    """Rename the tracer's symbols in the shape of an inner value; one that is no declared dim becomes unknown."""
    declared = set(symbols.values())

    def rename(dim: Any) -> int | str | None:
        if isinstance(dim, int):
            return dim
        symbol = str(dim.value)
        return symbol if symbol in declared else symbols.get(symbol)

    return ir.Shape([rename(dim) for dim in shape])


def _attach_weights(recorded: ir.Graph, weights: Mapping[str, Any]) -> None:
    """Make an initializer of every value that stands for a weight and is read."""
    by_name = {value.name: value for node in recorded.all_nodes() for value in node.inputs if value is not None}
    by_name.update({value.name: value for value in recorded.outputs})
    written: dict[tuple[Any, ...], ir.Value] = {}
    for name, tensor in weights.items():
        value = by_name.get(name)
        if value is None or value.producer() is not None:
            continue
        # Tied weights are one tensor under several names, and are written once.
        identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if identity in written and tensor.numel():
            ir.convenience.replace_all_uses_with(value, written[identity], replace_graph_outputs=True)
            continue
        written[identity] = value
        # Weights carry the name they have in the checkpoint, without the wrapper's prefix.
        value.name = name.removeprefix("model.")
        weight = WeightTensor(tensor, value.name)
        value.const_value, value.shape, value.type = weight, weight.shape, ir.TensorType(weight.dtype)
        recorded.initializers.add(value)


def _sort_initializers(recorded: ir.Graph) -> None:
    """Order initializers by name, so that equal builds give equal bytes."""
    for name in sorted(recorded.initializers):
        value = recorded.initializers.pop(name)
        recorded.initializers[name] = value


def _label(model: ir.Model, opset: int) -> None:
    """Say who made the file, and leave out whatever else could differ between equal builds."""
    model.producer_name, model.producer_version = "exporter", installed_version()
    model.doc_string = model.graph.doc_string = None
    model.graph.name = "main"
    domains = {node.domain for node in model.graph.all_nodes()} | {""}
    for domain in [name for name in model.opset_imports if name not in domains]:
        del model.opset_imports[domain]
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    # No newer than the opset needs, so that older runtimes read the file.
    model.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    if model.opset_imports.get("") != opset:
        raise ExportError(f"the tracer wrote opset {model.opset_imports.get('')} where {opset} was asked for")
