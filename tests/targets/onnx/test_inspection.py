"""ONNX files, looked at before a runtime opens them: weights beside the file alone, and operators of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import UntrustedError
from exporter.targets.onnx.inspection import inspect_model


def external(name: str, location: str, offset: str = "0", length: str = "12") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(
    *nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = (), functions: tuple[onnx.FunctionProto, ...] = ()
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    nodes = nodes or (helper.make_node("Add", ["x", "w"], ["y"]),)
    graph = helper.make_graph(list(nodes), "g", [value], [result], list(weights))
    return helper.make_model(graph, functions=list(functions))


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    (folder / "model.onnx_data").write_bytes(b"\0" * 12)
    return folder / "model.onnx"


INSIDE = numpy_helper.from_array(np.ones(3, np.float32), "w")


@pytest.mark.parametrize("weight", [INSIDE, external("w", "model.onnx_data")], ids=["inside", "beside"])
def test_weights_inside_and_beside_pass(weight: TensorProto, tmp_path: Path) -> None:
    inspect_model(save(model(weights=(weight,)), tmp_path))


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "/etc/passwd",
        "a/model.onnx_data",
        "..",
        ".",
        "",
        "missing",
        "*/_ORT_MEM_ADDR_/*",
        "model.onnx_data\0",
        "a\\b",
    ],
)
def test_weights_elsewhere_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 12)
    (tmp_path / "in").mkdir()
    with pytest.raises(UntrustedError, match="the data of 'w'"):
        inspect_model(save(model(weights=(external("w", location),)), tmp_path / "in"))


@pytest.mark.parametrize(
    ("offset", "length"), [("0", "13"), ("-1", "4"), ("4", "12"), ("0", "-1"), ("x", "1"), ("0", "9" * 30)]
)
def test_weights_beyond_their_file_are_refused(offset: str, length: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="the data of 'w'"):
        inspect_model(save(model(weights=(external("w", "model.onnx_data", offset, length),)), tmp_path))


def in_an_attribute(tensor: TensorProto) -> onnx.ModelProto:
    return model(helper.make_node("Constant", [], ["y"], value=tensor))


def in_a_branch(tensor: TensorProto) -> onnx.ModelProto:
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, [3])
    branch = helper.make_graph([helper.make_node("Identity", ["t"], ["z"])], "b", [], [result], [tensor])
    return model(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))


def in_a_function(tensor: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    function = helper.make_function("mine", "F", [], ["y"], [node], [])
    return model(helper.make_node("F", [], ["y"], domain="mine"), functions=(function,))


def in_a_sparse_weight(tensor: TensorProto) -> onnx.ModelProto:
    proto = model(weights=(INSIDE,))
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(tensor)
    return proto


@pytest.mark.parametrize("place", [in_an_attribute, in_a_branch, in_a_function, in_a_sparse_weight])
def test_weights_are_found_wherever_a_model_has_them(
    place: Callable[[TensorProto], onnx.ModelProto], tmp_path: Path
) -> None:
    inspect_model(save(place(external("t", "model.onnx_data")), tmp_path))
    with pytest.raises(UntrustedError, match=r"the data of 't' is in '\.\./x', which is not beside it"):
        inspect_model(save(place(external("t", "../x")), tmp_path))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Thing", ["x"], ["y"], domain="org.mine"), "'Thing' of 'org.mine', which needs a library"),
        (helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft"), "holds native code"),
    ],
)
def test_operators_of_a_library_are_refused(node: onnx.NodeProto, said: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match=said):
        inspect_model(save(model(node), tmp_path))


def test_functions_of_the_model_itself_pass(tmp_path: Path) -> None:
    inspect_model(save(in_a_function(INSIDE), tmp_path))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 50, b"not a model", b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x04\x0a\x7f", b"\x38\x01", b"\x0b\x0c"],
    ids=repr,
)
def test_a_file_that_is_no_model_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(UntrustedError, match=r"model\.onnx is not opened"):
        inspect_model(tmp_path / "model.onnx")


def test_a_model_nested_without_end_is_refused(tmp_path: Path) -> None:
    data = b""
    for field in (b"\x32", b"\x2a", b"\x0a") * 60:  # attribute.g, node.attribute, graph.node
        length = len(data)
        size = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
        data = field + size + data
    length = len(data)
    (tmp_path / "model.onnx").write_bytes(b"\x3a" + bytes([length & 0x7F | 0x80, length >> 7]) + data)
    with pytest.raises(UntrustedError, match="nested too deeply"):
        inspect_model(tmp_path / "model.onnx")
