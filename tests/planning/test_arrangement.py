"""What a layout does to a plan, and what it refuses."""

from __future__ import annotations

import pytest

import exporter
from exporter.errors import UsageError
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, TaskSpec
from exporter.planning.arrangement import Arrangement

BERT = load_spec("bert")
TASK = BERT.tasks["fill-mask"]


def test_a_flat_arrangement_changes_nothing():
    plan = exporter.plan("bert", "fill-mask")
    assert Arrangement("flat").arrange(plan) == plan


def test_graphs_go_to_the_folder_under_other_dims():
    plan = exporter.plan("bert", "fill-mask")
    arranged = Arrangement("shelf", folder="deep/onnx", dims={"batch": "batch_size"}).arrange(plan)
    (graph,) = arranged.graphs
    assert (graph.file, graph.files) == ("deep/onnx/model.onnx", ("deep/onnx/model.onnx",))
    assert graph.inputs[0].shape == ("batch_size", "sequence")
    assert arranged.sizes.trace.sizes == {"batch_size": 2, "sequence": 8}
    assert arranged.recording == plan.recording


def test_every_file_of_a_graph_goes_to_the_folder():
    plan = exporter.plan("bert", "fill-mask", target="torch-export", settings={"aoti": True})
    (graph,) = Arrangement("shelf", folder="onnx").arrange(plan).graphs
    assert graph.files == tuple(f"onnx/{file}" for file in plan.graphs[0].files)
    assert len(graph.files) == 2


def test_what_the_programs_behind_a_layout_cannot_use_is_refused():
    arrangement = Arrangement("shelf", targets=("onnx", "paper"), refused={"bfloat16": "it has no name for it"})
    arrangement.refuse_impossible(BERT, TASK, target="onnx", dtype="float32")
    with pytest.raises(UsageError) as failure:
        arrangement.refuse_impossible(BERT, TASK, target="neuron", dtype="float32")
    assert failure.value.message == "the layout shelf is one of onnx and paper graphs, and the target is neuron"
    with pytest.raises(UsageError) as failure:
        arrangement.refuse_impossible(BERT, TASK, target="onnx", dtype="bfloat16")
    assert failure.value.message == "the layout shelf cannot be had in bfloat16: it has no name for it"
    assert failure.value.help == "leave --dtype out"


def test_a_layout_may_refuse_a_task():
    def refuse(spec: Spec, task: TaskSpec) -> None:
        raise UsageError(f"no {task.name} of {spec.architecture}")

    with pytest.raises(UsageError, match="no fill-mask of bert"):
        Arrangement("shelf", refuse=refuse).refuse_impossible(BERT, TASK, target="onnx", dtype="float32")
