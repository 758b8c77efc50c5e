"""A file is written with its weights streamed, and equal graphs give equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from exporter.targets.onnx import file
from exporter.targets.onnx.conform import weights_of
from exporter.targets.onnx.file import write_onnx
from exporter.targets.onnx.weights import WeightTensor

ROWS = 600


def model() -> ir.Model:
    """Return a graph of one weight of 2400 bytes, one of 12, and a table that is no weight."""
    values = []
    for name, tensor in (("large", torch.arange(float(ROWS))), ("small", torch.arange(3.0))):
        weight = WeightTensor(tensor, name)
        values.append(ir.Value(name=name, shape=weight.shape, type=ir.TensorType(weight.dtype), const_value=weight))
    table = ir.tensor(np.int64([1, 2]), name="table")
    values.append(ir.Value(name="table", shape=table.shape, type=ir.TensorType(table.dtype), const_value=table))
    nodes = [ir.node("Identity", [value]) for value in values]
    for node, value in zip(nodes, values, strict=True):
        node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = f"{value.name}_out", value.shape, value.type
    outputs = [node.outputs[0] for node in nodes]
    graph = ir.Graph([], outputs, nodes=nodes, initializers=values, opset_imports={"": 18}, name="main")
    return ir.Model(graph, ir_version=8)


def test_weights_are_inside_the_file_behind_the_graph(tmp_path: Path):
    assert write_onnx(model(), tmp_path / "model.onnx", "auto") == [tmp_path / "model.onnx"]
    proto = onnx.load(tmp_path / "model.onnx")
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "table": [1, 2],
        "large": list(range(ROWS)),
        "small": [0, 1, 2],
    }
    assert not proto.graph.input


def test_weights_go_beside_the_file_where_that_is_asked_for(tmp_path: Path):
    files = write_onnx(model(), tmp_path / "model.onnx", "external")
    assert [path.name for path in files] == ["model.onnx", "model.onnx_data"]
    proto = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    places = {tensor.name: tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer}
    # A small weight stays, as shape arithmetic does.
    assert places == {"large": True, "small": False, "table": False}
    assert (tmp_path / "model.onnx_data").stat().st_size >= ROWS * 4


def test_weights_beyond_what_a_file_holds_go_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file, "EMBEDDED_LIMIT", 2000)
    files = write_onnx(model(), tmp_path / "model.onnx", "auto")
    assert [path.name for path in files] == ["model.onnx", "model.onnx_data"]


@pytest.mark.parametrize("weights", ["auto", "external"])
def test_equal_graphs_give_equal_bytes(tmp_path: Path, weights: str):
    written = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        files = write_onnx(model(), tmp_path / folder / "model.onnx", weights)
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]


def test_a_written_graph_is_still_whole(tmp_path: Path):
    graph = model()
    before = [weight.name for weight in weights_of(graph)]
    write_onnx(graph, tmp_path / "model.onnx", "auto")
    # Weights stand behind the rest, in the order they were in.
    assert [weight.name for weight in weights_of(graph)] == before == ["large", "small"]
    assert not graph.graph.inputs
