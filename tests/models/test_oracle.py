"""Running an untouched model: its numbers, or a message about the inputs it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import CheckpointError, ExportError
from exporter.models.flat_model import FlatModel
from exporter.models.oracle import make_oracle, run_model
from exporter.planning.plan import GraphPlan, TensorPlan

GRAPH = GraphPlan(
    component="model",
    file="model.onnx",
    files=("model.onnx",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", (2,), ("x",)),),
    outputs=(TensorPlan("y", "float32", (2,), ("y",)),),
    ignored=(),
)


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": nn.functional.dropout(x * self.scale, 0.5, self.training)}


def test_an_oracle_gives_arrays_of_the_model_in_evaluation_mode() -> None:
    oracle = make_oracle(FlatModel(Doubled().train(), GRAPH))
    (output,) = oracle({"x": np.array([1, 3], np.float32)})
    assert output.tolist() == [2, 6]


def test_a_model_runs_without_gradients() -> None:
    leaves = run_model(FlatModel(Doubled(), GRAPH).eval().leaves, (torch.ones(2),), "'model'")
    assert not leaves["y"].requires_grad


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AssertionError(), "AssertionError"),
        (ValueError("\n\n"), "ValueError"),
        (ValueError("\n  too wide\nand more"), "ValueError: too wide"),
    ],
    ids=repr,
)
def test_a_refusal_is_told_in_one_line(error: Exception, said: str) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    with pytest.raises(ExportError) as refusal:
        run_model(refuse, (), "'model' of bert fill-mask")
    assert refusal.value.message.startswith("the model refuses the inputs declared for 'model' of bert fill-mask: ")
    assert refusal.value.message.endswith(said)
    assert "exporter plan" in (refusal.value.help or "")
    with pytest.raises(ExportError) as refusal:
        run_model(refuse, (), "'model'", {"sequence": 7, "batch": 1})
    assert (refusal.value.help or "").endswith("given with --dim: sequence=7, batch=1")


def test_an_error_of_ours_stays_what_it_is() -> None:
    def refuse() -> Any:
        raise CheckpointError("damaged")

    with pytest.raises(CheckpointError, match="damaged"):
        run_model(refuse, (), "'model'")
