"""What the TorchScript tracer is taught to write."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn

from exporter.models.flat_model import FlatModel
from exporter.planning.plan import Axis, FillPlan, GraphPlan, TensorPlan
from exporter.targets.onnx.tracers.torchscript import record


class Frequencies(nn.Module):
    """Chooses a table by the length of its input and keeps the choice in a buffer, as some rotary embeddings do."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen = nn.Buffer(torch.zeros(3), persistent=False)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        long, short = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
        self.chosen.copy_(torch.where(x.sum() > 5, long, short))
        return {"y": x * self.chosen}


@pytest.mark.parametrize("opset", [11, 18, 20])
def test_a_value_copied_into_a_buffer_is_the_value(opset: int) -> None:
    x = TensorPlan("x", "float32", (Axis("batch"), 3), ("x",), FillPlan("ones", ()))
    y = TensorPlan("y", "float32", (Axis("batch"), 3), ("y",))
    graph = GraphPlan(
        component="model",
        file="model.onnx",
        files=("model.onnx",),
        module=None,
        constants={},
        built=(),
        inputs=(x,),
        outputs=(y,),
        ignored=(),
    )
    recorded = record(FlatModel(Frequencies(), graph).eval(), graph, (torch.ones(2, 3),), opset)
    assert not recorded.weights
    session = onnxruntime.InferenceSession(ir.to_proto(recorded.model).SerializeToString())
    for rows in (1, 2, 4):
        (written,) = session.run(None, {"x": np.ones((rows, 3), np.float32)})
        np.testing.assert_array_equal(written, Frequencies()(torch.ones(rows, 3))["y"].numpy())
