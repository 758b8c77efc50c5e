"""Writing a graph: recorded by the plan's tracer, finished, and written with the weights it reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

import exporter
from exporter.errors import ExportError, UsageError
from exporter.models.references import make_reference
from exporter.planning.plan import Plan
from exporter.targets.onnx import exporter as onnx_exporter
from exporter.targets.onnx.exporter import attention_of, export_graph
from exporter.targets.onnx.tracers import torchscript

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return exporter.plan("distilbert", "feature-extraction")


def test_each_tracer_records_the_models_own_attention(plan: Plan):
    dynamo = dataclasses.replace(plan, recording=dataclasses.replace(plan.recording, tracer="dynamo"))
    assert (attention_of(plan), attention_of(dynamo)) == (None, None)


def test_a_graph_is_written_in_its_folder_with_the_weights_it_reads(plan: Plan, tmp_path: Path):
    model = make_reference(plan)
    graph = dataclasses.replace(plan.graphs[0], file="onnx/model.onnx")
    weights = export_graph(model, graph, plan, tmp_path)
    proto = onnx.load(tmp_path / "onnx" / "model.onnx")
    assert [value.name for value in proto.graph.input] == [tensor.name for tensor in graph.inputs]
    assert [entry.version for entry in proto.opset_import] == [plan.recording.opset]
    read = {weight.data_ptr() for weight in weights}
    names = {name for name, parameter in model.named_parameters() if parameter.data_ptr() in read}
    assert "embeddings.word_embeddings.weight" in names
    assert names == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("\n  an operator has no symbolic\nand a trace"), "RuntimeError: an operator has no symbolic"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_tracer_that_fails_is_one_clear_error(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(torchscript, "record", fail)
    with pytest.raises(ExportError) as caught:
        export_graph(make_reference(plan), plan.graphs[0], plan, tmp_path)
    expected = f"the torchscript tracer failed on 'model' of distilbert feature-extraction: {text}"
    assert caught.value.message == expected
    assert caught.value.help == "try the other tracer with --tracer"
    assert not list(tmp_path.iterdir())


def test_an_error_for_the_user_passes_as_it_is(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise UsageError("not with this config")

    monkeypatch.setattr(onnx_exporter, "_recorder", lambda tracer: SimpleNamespace(record=refuse))
    with pytest.raises(UsageError, match=r"^not with this config$"):
        export_graph(make_reference(plan), plan.graphs[0], plan, tmp_path)
