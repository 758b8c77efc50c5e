"""Record with torch.export and the patches of ``transformers.exporters``: opset 18 and later.

Only the declared axes are marked, as ``Dim.AUTO``: explicit ranges break on the maximum positions of many models. The
patches are process-wide while they last, so this runs in a worker of its own.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch

from exporter.errors import ExportError
from exporter.models.flat_model import FlatModel
from exporter.planning.plan import GraphPlan
from exporter.targets.onnx.tracers import Trace
from exporter.targets.quiet import quiet_libraries

# The patches cover the model's own choice of attention.
ATTENTION: str | None = None
# What records the graph and nothing more; where transformers has no such method, its `export` does that.
_RECORD = "export_program"
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


def record(flat: FlatModel, graph: GraphPlan, tensors: tuple[torch.Tensor, ...], opset: int) -> Trace:
    """Trace ``flat`` on ``tensors`` and return its graph, weights apart.

    Raises:
        ExportError: the exporter wrote another opset than asked.
    """
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    names = [f"input_{index}" for index in range(len(tensors))]
    axes = {
        name: dict.fromkeys(tensor.dynamic_axes(), torch.export.Dim.AUTO)
        for name, tensor in zip(names, graph.inputs, strict=True)
    }
    config = OnnxConfig(dynamic=True, dynamic_shapes=axes, opset_version=opset, optimize=False)
    named = dict(zip(names, tensors, strict=True))
    # The exporter prints its progress.
    with torch.no_grad(), quiet_libraries(*_LOGGERS), contextlib.redirect_stdout(io.StringIO()):
        exporter: Any = OnnxExporter()
        recorded = getattr(exporter, _RECORD, exporter.export)(_ByKeyword(flat).eval(), named, config)
    # The model comes first of several, or in what holds it.
    model = recorded[0] if isinstance(recorded, tuple) else recorded.model
    written = model.opset_imports.get("")
    if written != opset:
        raise ExportError(f"the dynamo tracer wrote opset {written} where {opset} was asked for")
    weights: dict[str, torch.Tensor] = {}
    for name, value in list(model.graph.initializers.items()):
        raw = getattr(value.const_value, "raw", None)
        if isinstance(raw, torch.Tensor):
            weights[name] = raw
    return Trace(model, weights)


class _ByKeyword(torch.nn.Module):
    """`FlatModel` called by keyword, the way the exporter passes inputs; keeps the module path of weights."""

    def __init__(self, flat: FlatModel) -> None:
        super().__init__()
        self.model = flat.model
        # Not a submodule, or every weight would have two names.
        object.__setattr__(self, "flat", flat)

    def forward(self, **tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat: FlatModel = object.__getattribute__(self, "flat")
        return flat.forward(*tensors.values())
