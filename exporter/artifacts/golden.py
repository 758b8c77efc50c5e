"""Golden vectors: inputs and PyTorch's outputs, kept in the artifact.

With them an artifact can be verified on a machine that has neither torch nor the checkpoint. The files follow the
convention of ONNX's own tests: ``test_data_set_<k>/input_<i>.pb`` and ``output_<i>.pb``, one set for each point of the
plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporter.errors import ExportError, UsageError, describe_error
from exporter.planning.dtypes import Array, Oracle
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan, TensorPlan
from exporter.planning.words import sizes_text


def golden_directory(directory: Path, graph: GraphPlan) -> Path:
    """Return where a graph's vectors are: beside a lone ``model.onnx``, else in a folder named like the graph."""
    return directory if graph.component == "model" else directory / Path(graph.file).stem


def write_vectors(directory: Path, plan: Plan, oracles: Mapping[str, Oracle]) -> None:
    """Write the golden vectors of every graph at every point.

    Args:
        directory: the artifact.
        plan: what is built.
        oracles: the untouched model, as one oracle for each component.

    Raises:
        ExportError: the model itself fails at the sizes of a point.
    """
    for graph in plan.graphs:
        for index, point in enumerate(plan.sizes.points):
            inputs = make_dummies(graph, point, plan.sizes.seed)
            try:
                outputs = oracles[graph.component](inputs)
            except Exception as error:
                raise ExportError(
                    f"the model itself fails on '{graph.component}' of {plan.title} at {sizes_text(point.sizes)}: "
                    f"{describe_error(error)}",
                    help="choose sizes under 'dims:' that the model accepts",
                ) from error
            write_golden(golden_directory(directory, graph) / f"test_data_set_{index}", graph, inputs, outputs)


def write_golden(folder: Path, graph: GraphPlan, inputs: Mapping[str, Array], outputs: Iterable[Array]) -> None:
    """Write the inputs and expected outputs of a graph at one point into a new folder."""
    folder.mkdir(parents=True)
    for role, tensors, arrays in (
        ("input", graph.inputs, [inputs[tensor.name] for tensor in graph.inputs]),
        ("output", graph.outputs, list(outputs)),
    ):
        for number, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
            proto = onnx.numpy_helper.from_array(np.ascontiguousarray(array), tensor.name)
            (folder / f"{role}_{number}.pb").write_bytes(proto.SerializeToString(deterministic=True))


def read_golden(directory: Path, index: int, graph: GraphPlan) -> tuple[dict[str, Array], list[Array]]:
    """Return the inputs by name and the expected outputs in graph order.

    A vector is bytes in a protocol buffer that says their dtype and shape: nothing is unpickled, nothing is allocated
    beyond the size of the file, and a vector that points to bytes elsewhere is refused.

    Raises:
        UsageError: a vector is missing or damaged, or is not the tensor that is planned.
    """
    folder = golden_directory(directory, graph) / f"test_data_set_{index}"

    def read(role: str, tensors: tuple[TensorPlan, ...]) -> Iterator[Any]:
        for number, tensor in enumerate(tensors):
            path = folder / f"{role}_{number}.pb"
            try:
                yield _read_vector(path, tensor)
            except Exception as error:
                # A missing file, one that is no protocol buffer, or one whose numbers contradict each other.
                raise UsageError(
                    f"the golden vector {path.relative_to(directory)} cannot be read: {describe_error(error)}",
                    help="build the artifact again, or verify with --model",
                ) from error

    names = [tensor.name for tensor in graph.inputs]
    return dict(zip(names, read("input", graph.inputs), strict=True)), list(read("output", graph.outputs))


def _read_vector(path: Path, tensor: TensorPlan) -> Array:
    proto = onnx.TensorProto.FromString(path.read_bytes())
    if proto.data_location == proto.EXTERNAL or proto.external_data:
        raise ValueError("its bytes are said to be in another file")
    if proto.name != tensor.name:
        raise ValueError(f"it is of '{proto.name[:80]}', where '{tensor.name}' is planned")
    size = math.prod(proto.dims) * onnx.helper.tensor_dtype_to_np_dtype(proto.data_type).itemsize
    if min(proto.dims, default=0) < 0 or size != len(proto.raw_data):
        raise ValueError(f"its shape {list(proto.dims)} does not fit its {len(proto.raw_data)} bytes")
    array: Array = onnx.numpy_helper.to_array(proto)
    return array
