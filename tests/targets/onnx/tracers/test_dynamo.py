"""The dynamo tracer: only declared axes are open, weights keep their paths, and the opset is the one asked for."""

from __future__ import annotations

from types import SimpleNamespace

import onnx_ir as ir
import pytest
import torch
from torch import nn

from exporter.errors import ExportError
from exporter.models.flat_model import FlatModel
from exporter.planning.plan import Axis, GraphPlan, TensorPlan
from exporter.targets.onnx.tracers.dynamo import record

pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = (Axis("batch"), 3)
GRAPH = GraphPlan(
    component="model",
    file="model.onnx",
    files=("model.onnx",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", SHAPE, ("x",)),),
    outputs=(TensorPlan("y", "float32", SHAPE, ("y",)),),
    ignored=(),
)


class Layer(nn.Module):
    """One linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return {"y": self.linear(x)}


def test_a_graph_has_the_declared_tensors_and_its_weights_by_path(capfd: pytest.CaptureFixture[str]):
    layer = Layer()
    trace = record(FlatModel(layer, GRAPH).eval(), GRAPH, (torch.ones(2, 3),), 18)
    assert len(trace.model.graph.inputs) == len(trace.model.graph.outputs) == 1
    batch, width = trace.model.graph.inputs[0].shape
    assert isinstance(batch, ir.SymbolicDim)
    assert width == 3
    assert trace.model.opset_imports[""] == 18
    assert set(trace.weights) == {"model.linear.weight", "model.linear.bias"}
    assert trace.weights["model.linear.weight"].data_ptr() == layer.linear.weight.data_ptr()
    # Its progress and its advice are for nobody.
    assert capfd.readouterr().out == ""


def test_an_exporter_that_returns_what_holds_the_model_will_do(monkeypatch: pytest.MonkeyPatch):
    """Releases differ in the method and in what it returns."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 18}, name="g")
    held = SimpleNamespace(model=ir.Model(graph, ir_version=8))
    earlier = SimpleNamespace(export=lambda model, inputs, config: held)
    monkeypatch.setattr("transformers.exporters.exporter_onnx.OnnxExporter", lambda: earlier)
    assert record(FlatModel(Layer(), GRAPH).eval(), GRAPH, (torch.ones(2, 3),), 18).model is held.model


def test_another_opset_than_asked_for_is_an_error(monkeypatch: pytest.MonkeyPatch):
    from transformers.exporters.exporter_onnx import OnnxExporter

    written = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 20}, name="g"), ir_version=8)
    monkeypatch.setattr(OnnxExporter, "export_program", lambda *_: (written, None))
    with pytest.raises(ExportError, match="the dynamo tracer wrote opset 20 where 18 was asked for"):
        record(FlatModel(Layer(), GRAPH).eval(), GRAPH, (torch.ones(2, 3),), 18)
