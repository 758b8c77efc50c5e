"""The TorchScript tracer: weights stay out of its graph, and inputs that nothing reads stay in."""

from __future__ import annotations

import logging
import warnings

import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.onnx._internal.torchscript_exporter import utils

from exporter.models.flat_model import FlatModel
from exporter.planning.plan import Axis, GraphPlan, TensorPlan
from exporter.targets.onnx.tracers import Trace
from exporter.targets.onnx.tracers.torchscript import record

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SHAPE = (Axis("batch"), 3)
GRAPH = GraphPlan(
    component="model",
    file="model.onnx",
    files=("model.onnx",),
    module=None,
    constants={},
    built=(),
    inputs=(
        TensorPlan("x", "float32", SHAPE, ("x",)),
        TensorPlan("mask", "float32", SHAPE, ("mask",), unused="it has none"),
    ),
    outputs=(TensorPlan("y", "float32", SHAPE, ("y",)),),
    ignored=(),
)


class Layer(nn.Module):
    """Adds equal weights that are not tied, ignores its mask, and overwrites a buffer."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(3))
        self.equal = nn.Parameter(torch.ones(3))
        self.unread = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(2, 3, dtype=torch.float64))

    def forward(self, x, mask=None):
        self.seen.copy_(x + self.first)
        return {"y": self.seen.float() + self.equal}


@pytest.fixture
def traced() -> Trace:
    return record(FlatModel(Layer(), GRAPH).eval(), GRAPH, (torch.ones(2, 3), torch.ones(2, 3)), 18)


def test_inputs_are_those_declared_and_weights_come_behind(traced: Trace):
    graph = traced.model.graph
    assert [value.name for value in graph.inputs[:2]] == ["x", "mask"]
    assert not graph.inputs[1].uses()
    assert {value.name for value in graph.inputs[2:]} == set(traced.weights)
    assert [value.name for value in graph.outputs] == ["y"]


def test_weights_are_named_by_their_path_and_equal_ones_stay_apart(traced: Trace):
    read = {value.name for value in traced.model.graph.inputs if value.uses()}
    assert {"model.first", "model.equal"} <= read
    assert "model.unread" not in read
    assert not [value for value in traced.model.graph.initializers.values() if value.name in traced.weights]


def test_the_declared_axis_is_open(traced: Trace):
    batch, width = traced.model.graph.inputs[0].shape
    assert isinstance(batch, ir.SymbolicDim)
    assert width == 3


def test_a_copy_into_a_buffer_is_its_value_in_the_dtype_of_the_buffer(traced: Trace):
    casts = [node for node in traced.model.graph if node.op_type == "Cast"]
    assert ir.DataType.DOUBLE in [ir.DataType(node.attributes["to"].as_int()) for node in casts]


def test_the_tracer_is_as_before_afterwards():
    logger = logging.getLogger("torch.onnx")
    before = vars(utils)["_C"], logger.level, list(warnings.filters)
    record(FlatModel(Layer(), GRAPH).eval(), GRAPH, (torch.ones(2, 3), torch.ones(2, 3)), 18)
    assert (vars(utils)["_C"], logger.level, list(warnings.filters)) == before


def test_the_tracer_is_as_before_after_a_failure():
    class Failing(nn.Module):
        def forward(self, x, mask=None):
            raise RuntimeError("no")

    before = vars(utils)["_C"]
    with pytest.raises(RuntimeError, match="no"):
        record(FlatModel(Failing(), GRAPH).eval(), GRAPH, (torch.ones(2, 3), torch.ones(2, 3)), 18)
    assert vars(utils)["_C"] is before
