"""Weights on their way to a file: streamed bytes, tied and transposed weights, external data, dtypes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.targets.onnx import weights
from exporter.targets.onnx.file import _varint, write_onnx
from exporter.targets.onnx.weights import WeightTensor


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = tuple(draw(st.lists(st.integers(1, 7), max_size=4)))
    dtype = draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]))
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)
    return tensor.permute(draw(st.permutations(range(len(shape)))))


@given(tensors(), st.integers(1, 40))
def test_blocks_are_the_bytes_of_the_whole_whatever_the_strides(tensor, size):
    before = weights._BLOCK_ELEMENTS
    weights._BLOCK_ELEMENTS = size
    try:
        streamed = b"".join(WeightTensor(tensor, "w").blocks())
    finally:
        weights._BLOCK_ELEMENTS = before
    whole = tensor.contiguous()
    plain = whole.view(torch.int16) if whole.dtype is torch.bfloat16 else whole
    assert streamed == plain.numpy().tobytes()


@given(st.integers(0, 2**40))
def test_varints_are_protobufs(number):
    encoded = _varint(number)
    value = sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(encoded))
    assert value == number
    assert all(byte & 0x80 for byte in encoded[:-1])
    assert not encoded[-1] & 0x80


def graph_of(tensors: dict[str, torch.Tensor]) -> ir.Model:
    """Return a graph that gives its weights back."""
    values = []
    for name, tensor in tensors.items():
        weight = WeightTensor(tensor, name)
        values.append(ir.Value(name=name, shape=weight.shape, type=ir.TensorType(weight.dtype), const_value=weight))
    nodes = [ir.node("Identity", [value]) for value in values]
    for node, value in zip(nodes, values, strict=True):
        node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = f"{value.name}_out", value.shape, value.type
    graph = ir.Graph(
        [], [node.outputs[0] for node in nodes], nodes=nodes, initializers=values, opset_imports={"": 18}, name="g"
    )
    return ir.Model(graph, ir_version=10)


@pytest.mark.parametrize("where", ["auto", "external"])
def test_what_is_written_is_what_a_runtime_reads(where: str, tmp_path: Path):
    tensors = {
        "plain": torch.randn(40, 30),
        "transposed": torch.randn(50, 60).T,
        "permuted": torch.randn(4, 5, 6).permute(2, 0, 1),
        "half": torch.randn(33, 44).half(),
        "scalar": torch.tensor(3.5),
        "one": torch.randn(1),
        "ids": torch.arange(2000),
        "flags": torch.rand(70, 20) > 0.5,
    }
    path = tmp_path / "model.onnx"
    files = write_onnx(graph_of(tensors), path, where)
    assert [file.name for file in files] == (["model.onnx"] if where == "auto" else ["model.onnx", "model.onnx_data"])
    onnx.checker.check_model(str(path), full_check=True)
    outputs = onnxruntime.InferenceSession(str(path)).run(None, {})
    for tensor, output in zip(tensors.values(), outputs, strict=True):
        np.testing.assert_array_equal(output, tensor.numpy())


def test_a_built_graph_holds_each_weight_once_and_none_that_it_does_not_use(tmp_path: Path):
    (result,) = exporter.build("gpt2", task="text-generation-with-past", output=tmp_path / "a")
    proto = onnx.load(str(tmp_path / "a" / "model.onnx"))
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    # The head is tied to the token embeddings.
    assert [name for name, size in sizes.items() if size == 99 * 40] == ["transformer.wte.weight"]
    assert len(
        {
            onnx.numpy_helper.to_array(tensor).tobytes()
            for tensor in proto.graph.initializer
            if np.prod(tensor.dims) > 64
        }
    ) == len([tensor for tensor in proto.graph.initializer if np.prod(tensor.dims) > 64])
    assert not [node for node in proto.graph.node if node.op_type == "Transpose" and node.input[0] in sizes]
    assert result.report.passed


def test_external_weights_are_verified_and_counted(tmp_path: Path):
    (result,) = exporter.build("t5", task="text2text-generation", output=tmp_path / "a", weights="external")
    assert {"encoder_model.onnx_data", "decoder_model.onnx_data"} <= set(result.files)
    assert result.files["encoder_model.onnx"] < result.files["encoder_model.onnx_data"] * 3
    assert exporter.verify(tmp_path / "a").passed
    data = tmp_path / "a" / "encoder_model.onnx_data"
    data.write_bytes(data.read_bytes()[:-100])
    assert not exporter.verify(tmp_path / "a").passed
