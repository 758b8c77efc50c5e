"""Graphs in OpenVINO: computed in the dtype they are written in, and refused with a clear error."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from exporter.api import BuildResult
from exporter.errors import ExportError
from exporter.planning.dummies import make_dummies

openvino = pytest.importorskip("openvino")

from exporter.targets.openvino.session import OpenVinoSession  # noqa: E402 - needs the package


def doubling(dtype: object, path: Path) -> Path:
    """Write a graph that doubles a vector."""
    from openvino import opset13 as ops

    given = ops.parameter([-1], dtype, name="given")
    model = openvino.Model([ops.add(given, given)], [given], "doubling")
    model.inputs[0].set_names({"given"})
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def test_outputs_come_in_order_and_are_copies(artifact: BuildResult):
    (graph,) = artifact.plan.graphs
    session = OpenVinoSession(artifact.directory / graph.file)
    first, second = (make_dummies(graph, artifact.plan.sizes.points[index], 0) for index in (0, 1))
    kept = session.run(first)
    shape = kept[0].shape
    session.run(second)
    assert kept[0].shape == shape == graph.outputs[0].sizes_at(artifact.plan.sizes.points[0].sizes)
    np.testing.assert_array_equal(kept[0], session.run(first)[0])


@pytest.mark.parametrize(("dtype", "kind"), [("f32", np.float32), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_every_dtype_goes_in_and_comes_out(dtype: str, kind: type, tmp_path: Path):
    session = OpenVinoSession(doubling(getattr(openvino.Type, dtype), tmp_path / "model.xml"))
    values = np.array([1.5, -2.25, 0.0], kind)
    (doubled,) = session.run({"given": values})
    assert doubled.dtype == kind
    np.testing.assert_array_equal(doubled.astype(np.float64), [3.0, -4.5, 0.0])


def test_the_runtime_is_named_with_its_version(artifact: BuildResult):
    session = OpenVinoSession(artifact.directory / "model.xml")
    assert session.name == f"openvino {openvino.__version__.partition('-')[0]}"


def test_a_damaged_file_is_an_error_of_one_line(copied: Path):
    (copied / "model.xml").write_text("<net>", "utf-8")
    with pytest.raises(ExportError, match=r"OpenVINO cannot open model\.xml: \S") as caught:
        OpenVinoSession(copied / "model.xml")
    assert "\n" not in caught.value.message
