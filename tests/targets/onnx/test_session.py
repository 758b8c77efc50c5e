"""Sessions: ONNX Runtime where it computes a dtype, the reference evaluator where it does not."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from exporter.errors import ExportError
from exporter.targets.onnx import session
from exporter.targets.onnx.session import OnnxRuntimeSession, ReferenceSession, has_shipped_form, open_session


def save(path: Path, dtype: int = TensorProto.FLOAT) -> Path:
    values = [helper.make_tensor_value_info(name, dtype, ("batch",)) for name in ("x", "y", "z")]
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Add", ["x", "x"], ["z"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.mark.parametrize("prepack", [False, True])
def test_onnx_runtime_gives_the_outputs_in_graph_order(tmp_path: Path, prepack: bool):
    opened = open_session(save(tmp_path / "model.onnx"), "float32", prepack=prepack)
    assert isinstance(opened, OnnxRuntimeSession)
    assert opened.name == f"onnxruntime {onnxruntime.__version__}"
    negative, double = opened.run({"x": np.float32([1, 2])})
    assert (negative.tolist(), double.tolist()) == ([-1, -2], [2, 4])


def test_a_file_the_runtime_refuses_is_one_clear_error(tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"PK not a graph")
    with pytest.raises(ExportError, match=r"^ONNX Runtime cannot open model\.onnx: \S") as caught:
        open_session(path, "float32")
    assert "\n" not in caught.value.message


def test_a_runtime_that_refuses_without_a_word_is_told_by_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(ExportError, match=r"^ONNX Runtime cannot open model\.onnx: AssertionError$"):
        open_session(save(tmp_path / "model.onnx"), "float32")


def test_bfloat16_is_computed_by_the_reference_evaluator(tmp_path: Path):
    opened = open_session(save(tmp_path / "model.onnx", TensorProto.BFLOAT16), "bfloat16")
    assert isinstance(opened, ReferenceSession)
    assert opened.name == f"onnx {onnx.__version__} reference evaluator"
    negative, double = opened.run({"x": np.array([1, 2], ml_dtypes.bfloat16)})
    assert negative.dtype == ml_dtypes.bfloat16
    assert (negative.tolist(), double.tolist()) == ([-1, -2], [2, 4])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_reference_evaluator_gathers_from_any_number_of_rows(axis: int):
    values = [
        helper.make_tensor_value_info("data", TensorProto.FLOAT, ("rows", "columns")),
        helper.make_tensor_value_info("indices", TensorProto.INT64, ("n", "m")),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", "m")),
    ]
    graph = helper.make_graph(
        [helper.make_node("GatherElements", ["data", "indices"], ["y"], axis=axis)], "g", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    data = np.arange(40 * 40, dtype=np.float32).reshape(40, 40)
    indices = np.random.default_rng(0).integers(0, 40, (35, 38))
    (gathered,) = ReferenceEvaluator(model, new_ops=[session._gather_elements()]).run(
        None, {"data": data, "indices": indices}
    )
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"data": data, "indices": indices})
    np.testing.assert_array_equal(gathered, expected[0])


def test_a_second_session_is_worth_it_below_the_size_of_an_embedded_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = save(tmp_path / "model.onnx")
    assert has_shipped_form(path, "float32")
    assert not has_shipped_form(path, "bfloat16")
    monkeypatch.setattr(session, "EMBEDDED_LIMIT", 10_000)
    assert has_shipped_form(path, "float32")
    path.with_name("model.onnx_data").write_bytes(b"\0" * 20_000)
    assert not has_shipped_form(path, "float32")
