"""The flat layout leaves a plan as it is, whatever the target and the task."""

from __future__ import annotations

import pytest

import exporter
from exporter.artifacts.layouts.flat import LAYOUT


@pytest.mark.parametrize("target", ["onnx", "torchscript", "torch-export"])
def test_graphs_are_beside_the_config_and_dims_keep_their_names(target: str) -> None:
    plan = exporter.plan("gpt2", "text-generation-with-past", target=target)
    assert plan.recording.layout == LAYOUT.name
    assert LAYOUT.arrangement.arrange(plan) == plan
    assert all("/" not in graph.file for graph in plan.graphs)


def test_no_task_and_no_dtype_is_refused() -> None:
    spec = exporter.load_spec("bert")
    for task in spec.tasks.values():
        LAYOUT.arrangement.refuse_impossible(spec, task, target="neuron", dtype="bfloat16")
