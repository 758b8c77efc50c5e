"""Golden vectors come back as they were written, and a model that fails on them is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

import exporter
from exporter.artifacts.golden import golden_directory, read_golden, write_golden, write_vectors
from exporter.errors import ExportError, UsageError
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan

PLAN = exporter.plan("t5", "text2text-generation")


def answer(plan: Plan) -> dict[str, Any]:
    """Return an oracle for each graph that gives ones for every output, with as many rows as its first input."""

    def oracle_of(graph: GraphPlan) -> Any:
        return lambda inputs: [np.ones((len(next(iter(inputs.values()))), 3), np.float32) for _ in graph.outputs]

    return {graph.component: oracle_of(graph) for graph in plan.graphs}


def test_vectors_of_every_point_come_back(tmp_path: Path) -> None:
    write_vectors(tmp_path, PLAN, answer(PLAN))
    for graph in PLAN.graphs:
        for index, point in enumerate(PLAN.sizes.points):
            inputs, outputs = read_golden(tmp_path, index, graph)
            expected = make_dummies(graph, point, PLAN.sizes.seed)
            assert list(inputs) == [tensor.name for tensor in graph.inputs]
            for name, array in expected.items():
                assert inputs[name].dtype == array.dtype
                np.testing.assert_array_equal(inputs[name], array)
            assert [array.shape[1] for array in outputs] == [3] * len(graph.outputs)


def test_a_lone_graph_has_its_vectors_beside_it_and_several_have_folders(tmp_path: Path) -> None:
    (lone,) = exporter.plan("bert", "fill-mask").graphs
    assert golden_directory(tmp_path, lone) == tmp_path
    encoder = PLAN.graphs[0]
    assert golden_directory(tmp_path, encoder) == tmp_path / "encoder_model"
    assert golden_directory(tmp_path, replace(encoder, file="onnx/encoder_model.onnx")) == tmp_path / "encoder_model"


def test_bfloat16_is_kept_by_its_bits(tmp_path: Path) -> None:
    (graph,) = exporter.plan("bert", "fill-mask").graphs
    inputs = {tensor.name: np.zeros((1, 2), np.int64) for tensor in graph.inputs}
    output = np.array([[1.5, -3.0]], ml_dtypes.bfloat16).T
    write_golden(tmp_path / "test_data_set_0", graph, inputs, [output])
    _, (back,) = read_golden(tmp_path, 0, graph)
    assert back.dtype == ml_dtypes.bfloat16
    assert back.astype(float).tolist() == [[1.5], [-3.0]]


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("\n\n"), RuntimeError("too long\nfor it")], ids=repr)
def test_a_model_that_fails_is_told_with_the_sizes(error: Exception, tmp_path: Path) -> None:
    def refuse(_: object) -> Any:
        raise error

    with pytest.raises(
        ExportError, match="the model itself fails on 'encoder' of t5 text2text-generation at"
    ) as failure:
        write_vectors(tmp_path, PLAN, {**answer(PLAN), "encoder": refuse})
    assert failure.value.message.endswith("too long" if "too long" in str(error) else type(error).__name__)
    assert "\n" not in failure.value.message


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"\xff\xff")], ids=["missing", "damaged"])
def test_a_vector_that_cannot_be_read_is_named(spoil: Any, tmp_path: Path) -> None:
    write_vectors(tmp_path, PLAN, answer(PLAN))
    encoder = PLAN.graphs[0]
    spoil(tmp_path / "encoder_model" / "test_data_set_1" / "output_0.pb")
    read_golden(tmp_path, 0, encoder)
    with pytest.raises(UsageError, match=r"the golden vector encoder_model/test_data_set_1/output_0.pb cannot be read"):
        read_golden(tmp_path, 1, encoder)


def spoil_vector(path: Path, spoil: Any) -> None:
    proto = onnx.TensorProto.FromString(path.read_bytes())
    spoil(proto)
    path.write_bytes(proto.SerializeToString())


def point_elsewhere(proto: Any) -> None:
    proto.data_location = proto.EXTERNAL
    proto.ClearField("raw_data")
    proto.external_data.add(key="location", value="../secret")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (point_elsewhere, "in another file"),
        (lambda proto: proto.external_data.add(key="location", value="x"), "in another file"),
        (lambda proto: setattr(proto, "name", "other"), "it is of 'other'"),
        (lambda proto: proto.dims.append(1 << 40), "does not fit its"),
        (lambda proto: proto.dims.__setitem__(0, -1), "does not fit its"),
        (lambda proto: setattr(proto, "data_type", onnx.TensorProto.STRING), "cannot be read"),
        (lambda proto: setattr(proto, "data_type", 999), "cannot be read"),
        (lambda proto: setattr(proto, "raw_data", b""), "does not fit its 0 bytes"),
    ],
)
def test_a_vector_that_is_not_the_planned_tensor_is_refused(spoil: Any, said: str, tmp_path: Path) -> None:
    write_vectors(tmp_path, PLAN, answer(PLAN))
    spoil_vector(tmp_path / "encoder_model" / "test_data_set_0" / "output_0.pb", spoil)
    with pytest.raises(UsageError, match=said):
        read_golden(tmp_path, 0, PLAN.graphs[0])
