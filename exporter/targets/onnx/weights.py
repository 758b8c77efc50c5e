"""Weights on their way from a checkpoint to a file: mapped, transposed and cast in blocks, never whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import onnx
import onnx_ir as ir
import torch
from onnx_ir.tensor_adapters import TorchTensor

# Elements handled at a time: 16 MB of float32.
_BLOCK_ELEMENTS = 1 << 22


class WeightTensor(TorchTensor):  # type: ignore[misc] # onnx_ir's types are not followed
    """A torch tensor as an ONNX initializer whose bytes are made only while they are written.

    The tensor may be a view of a mapped file, with any strides: a transposed weight is ``tensor.permute(...)``.
    """

    def __init__(self, tensor: torch.Tensor, name: str) -> None:
        super().__init__(tensor.detach(), name=name)

    def permuted(self, permutation: tuple[int, ...], name: str) -> WeightTensor:
        """Return this weight with its axes permuted; no element moves until it is written."""
        return WeightTensor(self.raw.permute(permutation), name)

    def blocks(self) -> Iterator[memoryview]:
        """Iterate over the bytes in row-major order, a block at a time."""
        for block in _blocks(self.raw):
            yield _bits(block.contiguous()).numpy().data.cast("B")

    def tofile(self, file: BinaryIO) -> None:
        """Write the bytes to a file, a block at a time."""
        file.writelines(self.blocks())

    def tobytes(self) -> bytes:
        """Return all the bytes, for a weight small enough to be inside the graph."""
        return b"".join(self.blocks())


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """Return the graph with weights as inputs: everything a checker looks at except the bytes."""
    graph = model.graph
    weights = [value for value in graph.initializers.values() if isinstance(value.const_value, WeightTensor)]
    tensors = [value.const_value for value in weights]
    for value in weights:
        graph.initializers.pop(str(value.name))
        value.const_value = None
    try:
        proto = ir.to_proto(model)
        proto.graph.input.extend(ir.to_proto(value) for value in weights)
    finally:
        for value, tensor in zip(weights, tensors, strict=True):
            value.const_value = tensor
            graph.initializers.add(value)
    return proto


def _blocks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Split along the first axis until each part is small, keeping row-major order."""
    if tensor.numel() <= _BLOCK_ELEMENTS or tensor.ndim == 0:
        if tensor.numel():
            yield tensor
        return
    row = tensor[0].numel()
    if row > _BLOCK_ELEMENTS:
        for index in range(len(tensor)):
            yield from _blocks(tensor[index])
        return
    rows = max(1, _BLOCK_ELEMENTS // max(row, 1))
    yield from (tensor[start : start + rows] for start in range(0, len(tensor), rows))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return a view numpy understands; it has no bfloat16."""
    return tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor
