"""What a model does at several sizes, and what its axes are called after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from exporter.errors import UsageError
from exporter.onnx.measured import measure_graph, output_path
from exporter.planning.plan import Axis, FillPlan, GraphPlan, TensorPlan

X = TensorPlan("x", "float32", (Axis("rows"), Axis("length")), ("x",), FillPlan("randn", ()))
PAST = TensorPlan("past", "float32", (Axis("rows"), Axis("before")), ("past",), FillPlan("randn", ()))


def graph(*inputs: TensorPlan) -> GraphPlan:
    return GraphPlan("model", "model.onnx", ("model.onnx",), None, {}, (), inputs, (), ())


class Strange(nn.Module):
    """Gives an axis that is a sum, one that is a part, one that is constant; takes rows two by two."""

    def forward(self, x: Any, past: Any) -> dict[str, torch.Tensor]:
        x.reshape(-1, 2, x.shape[1])
        joined = torch.cat([past, x], dim=1)
        return {"joined": joined, "half": joined[:, ::2], "one": joined.sum(1, keepdim=True), "extra": x}


def test_axes_are_called_by_what_they_follow():
    sizes = {"rows": 2, "length": 8, "before": 5}
    outputs = {"joined": {0: "batch", 1: "all"}, "half": {0: "rows", 1: "part"}, "one": {0: "rows", 1: "sequence"}}
    measured = measure_graph(Strange(), graph(X, PAST), sizes, outputs)
    joined, half, one = measured.graph.outputs
    assert joined.shape == ("rows", "length + before")
    assert half.shape == ("rows", "part")
    assert one.shape == ("rows", 1)
    assert measured.graph.ignored == ("extra",)
    for point in measured.sizes.points:
        assert point.sizes["part"] == (point.sizes["length"] + point.sizes["before"] + 1) // 2
        assert point.sizes["rows"] % 2 == 0
    assert len({point.sizes["length"] for point in measured.sizes.points}) > 2


class Picky(nn.Module):
    """Takes three columns, and two inputs that are as long as one another."""

    def forward(self, x: Any, past: Any) -> dict[str, torch.Tensor]:
        return {"y": x + past}


def test_dims_of_one_length_become_one():
    measured = measure_graph(Picky(), graph(X, PAST), {"rows": 2, "length": 8, "before": 8}, {"y": {1: "before"}})
    assert [tensor.shape for tensor in measured.graph.inputs] == [("rows", "length")] * 2
    assert measured.graph.outputs[0].shape == ("rows", "length")


def test_a_dim_with_one_size_is_closed(caplog: pytest.LogCaptureFixture):
    measured = measure_graph(nn_linear(), graph(X), {"rows": 2, "length": 8}, {"y": {0: "rows"}})
    assert measured.graph.inputs[0].shape == ("rows", 8)
    assert measured.sizes.fixed == {"length": 8}
    assert "the model takes no other 'length' than 8" in caplog.text


def nn_linear() -> nn.Module:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 3)

        def forward(self, x: Any) -> dict[str, torch.Tensor]:
            return {"y": self.layer(x)}

    return Linear()


def test_an_output_that_is_not_there_is_said():
    with pytest.raises(UsageError, match="the model returns no 'z'") as failure:
        measure_graph(nn_linear(), graph(X), {"rows": 2, "length": 8}, {"z": {}})
    assert failure.value.help == "it returns y: override outputs of the config class"


def test_what_is_written_is_read_from_the_cache():
    assert output_path("present.0.decoder.key") == "past_key_values.0.decoder.key"
    assert output_path("logits") == "logits"
