"""A written intermediate representation against its plan: names, order, dtypes, and which axes are open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import exporter
from exporter.api import BuildResult
from exporter.planning.plan import Axis, GraphPlan

pytest.importorskip("openvino")

from exporter.targets.openvino.structure import check_structure


@pytest.fixture
def graph(artifact: BuildResult) -> GraphPlan:
    return artifact.plan.graphs[0]


def test_what_was_built_is_as_planned(artifact: BuildResult, graph: GraphPlan):
    assert check_structure(artifact.directory / graph.file, graph) == []


def test_another_order_of_inputs_is_told(artifact: BuildResult, graph: GraphPlan):
    turned = replace(graph, inputs=graph.inputs[::-1])
    (problem,) = check_structure(artifact.directory / graph.file, turned)
    assert problem == "model.xml: its inputs are input_ids, attention_mask; planned attention_mask, input_ids"


def test_another_dtype_is_told(artifact: BuildResult, graph: GraphPlan):
    other = replace(graph, inputs=(replace(graph.inputs[0], dtype="int32"), *graph.inputs[1:]))
    (problem,) = check_structure(artifact.directory / graph.file, other)
    assert "the input 'input_ids'" in problem
    assert "planned int32" in problem


def test_a_dim_that_is_not_open_in_the_file_is_told(artifact: BuildResult, graph: GraphPlan):
    (logits,) = graph.outputs
    baked = replace(graph, outputs=(replace(logits, shape=(*logits.shape[:-1], Axis("vocabulary"))),))
    (problem,) = check_structure(artifact.directory / graph.file, baked)
    assert "the output 'logits' has shape" in problem
    assert "'vocabulary'" in problem


def test_an_input_that_is_open_where_it_is_planned_fixed_is_told(artifact: BuildResult, graph: GraphPlan):
    fixed = replace(graph, inputs=(replace(graph.inputs[0], shape=(2, 8)), *graph.inputs[1:]))
    (problem,) = check_structure(artifact.directory / graph.file, fixed)
    assert "planned [2, 8]" in problem


def test_a_file_that_is_cut_short_is_told(copied: Path, graph: GraphPlan):
    text = (copied / "model.xml").read_bytes()
    (copied / "model.xml").write_bytes(text[: len(text) // 2])
    (problem,) = check_structure(copied / "model.xml", graph)
    assert problem.startswith("model.xml cannot be read by OpenVINO: ")


def test_changed_weights_fail_verification(copied: Path):
    weights = bytearray((copied / "model.bin").read_bytes())
    weights[:4096] = bytes(4096)
    (copied / "model.bin").write_bytes(weights)
    report = exporter.verify(copied)
    assert not report.passed
    assert report.problems == ("model.bin has changed since it was built",)
