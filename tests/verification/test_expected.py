"""What graphs are compared with: a model that can be asked, and golden vectors that are remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.artifacts.golden import golden_directory, write_golden
from exporter.errors import UsageError
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Axis, FillPlan, GraphPlan, Point, SizePlan, TensorPlan
from exporter.verification.expected import GoldenVectors, LiveModel

GRAPH = GraphPlan(
    component="model",
    file="model.bin",
    files=("model.bin",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", (Axis("batch"), 3), ("x",), fill=FillPlan("randn", ())),),
    outputs=(TensorPlan("y", "float32", (Axis("batch"), 3), ("y",)),),
    ignored=(),
)
TRACE, CHECK, ELSEWHERE = (Point(name, {"batch": size}) for name, size in (("trace", 2), ("check 1", 1), ("probe", 5)))
SIZES = SizePlan(points=(TRACE, CHECK), probes={}, fixed={}, seed=3)


def double(inputs):
    return [2 * inputs["x"]]


def test_a_live_model_gives_every_point_with_two_seeds():
    samples = list(LiveModel({"model": double}).samples(GRAPH, SIZES))
    assert [(sample.point, sample.seed) for sample in samples] == [(TRACE, 3), (TRACE, 4), (CHECK, 3), (CHECK, 4)]
    for sample in samples:
        np.testing.assert_array_equal(sample.expected[0], 2 * sample.inputs["x"])
        assert sample.inputs["x"].shape == (sample.point.sizes["batch"], 3)
    assert not np.array_equal(samples[0].inputs["x"], samples[1].inputs["x"])


def test_a_live_model_can_be_asked_at_other_sizes():
    live = LiveModel({"model": double})
    assert live.is_live
    sample = live.probe(GRAPH, ELSEWHERE, 3)
    assert sample is not None
    assert sample.expected[0].shape == (5, 3)


def refuse(inputs):
    raise ValueError("the batch is 2")


@pytest.mark.parametrize("oracle", [refuse, lambda inputs: [inputs["x"][:2]]], ids=["refuses", "other outputs"])
def test_sizes_that_are_none_of_the_models_own_are_not_known(oracle):
    assert LiveModel({"model": oracle}).probe(GRAPH, ELSEWHERE, 3) is None


def write_vectors(directory: Path) -> None:
    for index, point in enumerate(SIZES.points):
        inputs = make_dummies(GRAPH, point, SIZES.seed)
        write_golden(golden_directory(directory, GRAPH) / f"test_data_set_{index}", GRAPH, inputs, double(inputs))


def test_golden_vectors_remember_every_point(tmp_path: Path):
    write_vectors(tmp_path)
    golden = GoldenVectors(tmp_path)
    samples = list(golden.samples(GRAPH, SIZES))
    assert [(sample.point, sample.seed) for sample in samples] == [(TRACE, 3), (CHECK, 3)]
    for sample in samples:
        np.testing.assert_array_equal(sample.expected[0], 2 * sample.inputs["x"])
    assert not golden.is_live
    assert golden.probe(GRAPH, ELSEWHERE, 3) is None


def test_a_damaged_vector_is_named(tmp_path: Path):
    write_vectors(tmp_path)
    (tmp_path / "test_data_set_1" / "output_0.pb").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"test_data_set_1/output_0\.pb cannot be read"):
        list(GoldenVectors(tmp_path).samples(GRAPH, SIZES))
