"""Write an ONNX file with its weights streamed: inside it, or beside it as external data.

Serialising a model with its weights makes two copies of them in memory. Here the graph is serialised alone and the
initializers are written field by field behind it, which the protobuf encoding allows as long as the lengths are known
beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from exporter.targets.onnx.conform import weights_of
from exporter.targets.onnx.limits import EMBEDDED_LIMIT
from exporter.targets.onnx.weights import WeightTensor, skeleton

# Below this a weight stays in the graph file even when weights go beside it, as shape arithmetic does.
_SMALL = 1024
# Field numbers of onnx.proto with wire type 2: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = b"\x3a", b"\x2a", b"\x4a"


def write_onnx(model: ir.Model, path: Path, weights: str) -> list[Path]:
    """Write a graph and return the files made: ``path`` alone, or with ``<path>_data`` beside it.

    Args:
        model: the finished graph; its weights are released from memory as they are written.
        path: where ``model.onnx`` goes.
        weights: ``auto`` embeds weights below 2 GB in the file, ``external`` always writes them beside it.
    """
    total = sum(weight.nbytes for weight in weights_of(model))
    if weights == "external" or total > EMBEDDED_LIMIT:
        data = path.with_name(f"{path.name}_data")
        ir.save(model, path, external_data=data.name, size_threshold_bytes=_SMALL)
        return [path, *([data] if data.exists() else [])]
    _write_embedded(model, path)
    return [path]


def _write_embedded(model: ir.Model, path: Path) -> None:
    weights = weights_of(model)
    proto = skeleton(model)
    del proto.graph.input[len(model.graph.inputs) :]
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    headers = [_tensor_header(weight) for weight in weights]
    length = len(graph) + sum(
        len(_INITIALIZER) + len(_varint(len(header) + weight.nbytes)) + len(header) + weight.nbytes
        for header, weight in zip(headers, weights, strict=True)
    )
    with path.open("wb") as file:
        file.write(proto.SerializeToString(deterministic=True))
        file.write(_GRAPH + _varint(length) + graph)
        for header, weight in zip(headers, weights, strict=True):
            _write_initializer(file, header, weight)


def _write_initializer(file: BinaryIO, header: bytes, weight: WeightTensor) -> None:
    file.write(_INITIALIZER + _varint(len(header) + weight.nbytes) + header)
    weight.tofile(file)


def _tensor_header(weight: WeightTensor) -> bytes:
    """Return the TensorProto up to and including the length of its data, which comes last."""
    tensor = onnx.TensorProto(name=weight.name, data_type=int(weight.dtype), dims=weight.shape.numpy())
    header: bytes = tensor.SerializeToString(deterministic=True)
    return header + _RAW_DATA + _varint(weight.nbytes)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
