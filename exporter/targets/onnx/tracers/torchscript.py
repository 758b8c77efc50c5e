"""Record with TorchScript: ``torch.onnx.export(dynamo=False)``, opsets 11 to 20.

Parameters are left as graph inputs named after their module path (``export_params=False``), so that no weight is copied
into the graph and each can be attached again by the name it had.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import onnx
import onnx_ir as ir
import torch

from exporter.models.attention import plain_attention
from exporter.models.flat_model import FlatModel
from exporter.planning.plan import GraphPlan
from exporter.targets.onnx.tracers import Trace
from exporter.targets.onnx.tracers.pooling import adaptive_pooling
from exporter.targets.quiet import quiet_libraries

# The model's own choice of attention, recorded in operators that every opset has.
ATTENTION: str | None = None


def record(flat: FlatModel, graph: GraphPlan, tensors: tuple[torch.Tensor, ...], opset: int) -> Trace:
    """Trace ``flat`` on ``tensors`` and return its graph, weights apart."""
    buffer = io.BytesIO()
    named = {tensor.name: tensor.dynamic_axes() for tensor in (*graph.inputs, *graph.outputs)}
    quiet = quiet_libraries("torch.onnx")
    with torch.no_grad(), quiet, _weights_out_of_passes(), _own_operators(opset):
        torch.onnx.export(
            flat,
            tensors,
            cast("Any", buffer),
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
            opset_version=opset,
            input_names=[tensor.name for tensor in graph.inputs],
            output_names=[tensor.name for tensor in graph.outputs],
            dynamic_axes={name: axes for name, axes in named.items() if axes},
        )
    model = ir.from_proto(onnx.load_from_string(buffer.getvalue()))
    _restore_inputs(model.graph, graph)
    return Trace(model, _take_weights(model.graph, flat, graph))


@contextmanager
def _own_operators(opset: int) -> Iterator[None]:
    """Write what the tracer lacks an operator for, or has one for in some opsets only."""
    with _copies_as_values(opset), adaptive_pooling(opset), plain_attention():
        yield


def _restore_inputs(recorded: Any, graph: GraphPlan) -> None:
    """Put back the declared inputs that nothing reads.

    Where weights stay graph inputs, the tracer drops every input that nothing reads, with the unused weights.
    """
    others = {str(value.name): value for value in recorded.inputs}
    declared = [others.pop(tensor.name, None) or ir.Value(name=tensor.name) for tensor in graph.inputs]
    recorded.inputs.clear()
    recorded.inputs.extend([*declared, *others.values()])


def _take_weights(recorded: Any, flat: FlatModel, graph: GraphPlan) -> dict[str, torch.Tensor]:
    """Return the tensors behind the graph inputs that nobody declared, by the name the graph gives them."""
    owned: Mapping[str, torch.Tensor] = {
        **dict(flat.named_buffers(remove_duplicate=False)),
        **dict(flat.named_parameters(remove_duplicate=False)),
    }
    declared = {tensor.name for tensor in graph.inputs}
    return {str(value.name): owned[str(value.name)] for value in recorded.inputs if value.name not in declared}


@contextmanager
def _copies_as_values(opset: int) -> Iterator[None]:
    """Write ``buffer.copy_(value)`` as the value, expanded and cast to the buffer it replaces.

    The tracer itself lets later reads of the buffer mean the new value, and has no operator for the copy that is left.
    """
    from torch.onnx._internal.torchscript_exporter._type_utils import JitScalarType
    from torch.onnx._internal.torchscript_exporter.utils import (
        register_custom_op_symbolic,
        unregister_custom_op_symbolic,
    )

    def copy(graph: Any, target: Any, source: Any, _non_blocking: Any = None) -> Any:
        value = graph.op("Cast", source, to_i=JitScalarType.from_value(target).onnx_type())
        return graph.op("Expand", value, graph.op("Shape", target))

    register_custom_op_symbolic("aten::copy", copy, opset)
    try:
        yield
    finally:
        unregister_custom_op_symbolic("aten::copy", opset)


@contextmanager
def _weights_out_of_passes() -> Iterator[None]:
    """Keep weights out of the exporter's passes over the graph.

    Two of them read the values of every weight: one copies them to infer shapes that do not depend on them, one
    compares every pair to find equal ones, which also merges weights that merely happen to be equal.
    """
    from torch.onnx._internal.torchscript_exporter import utils

    torch_utils: Any = utils
    original = torch_utils._C
    torch_utils._C = _Passes(original)
    try:
        yield
    finally:
        torch_utils._C = original


class _Passes:
    """torch._C with those two passes given what they need and no more."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def _jit_pass_onnx_graph_shape_type_inference(self, graph: Any, _parameters: Any, opset: int) -> Any:
        return self._original._jit_pass_onnx_graph_shape_type_inference(graph, {}, opset)

    def _jit_pass_onnx_deduplicate_initializers(self, graph: Any, parameters: Any, _is_train: bool) -> Any:
        # In training mode the pass finds tied weights by their address.
        return self._original._jit_pass_onnx_deduplicate_initializers(graph, parameters, True)
