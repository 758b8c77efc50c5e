"""The structure of a written intermediate representation, against its plan.

It holds the names, order and dtypes of inputs and outputs, and which axes are open. The symbolic dims of open axes are
in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openvino

from exporter.errors import first_line
from exporter.planning.plan import GraphPlan, TensorPlan

# How an open axis is written.
_OPEN = "?"
_TYPES = {
    "float32": openvino.Type.f32,
    "float16": openvino.Type.f16,
    "bfloat16": openvino.Type.bf16,
    "float64": openvino.Type.f64,
    "int8": openvino.Type.i8,
    "uint8": openvino.Type.u8,
    "int32": openvino.Type.i32,
    "int64": openvino.Type.i64,
    "bool": openvino.Type.boolean,
}


def check_structure(path: Path, graph: GraphPlan) -> list[str]:
    """Return what the written files have other than planned: names, order, dtypes, static and open axes."""
    try:
        model = openvino.Core().read_model(path)
    except Exception as error:
        return [f"{path.name} cannot be read by OpenVINO: {first_line(error)}"]
    return [
        *_boundary_problems(path.name, "input", model.inputs, graph.inputs),
        *_boundary_problems(path.name, "output", model.outputs, graph.outputs),
    ]


def _boundary_problems(file: str, role: str, ports: Any, tensors: tuple[TensorPlan, ...]) -> Iterator[str]:
    names = [port.get_names() for port in ports]
    planned = [tensor.name for tensor in tensors]
    if len(names) != len(planned) or any(name not in known for name, known in zip(planned, names, strict=True)):
        listed = ", ".join("/".join(sorted(known)) for known in names)
        yield f"{file}: its {role}s are {listed}; planned {', '.join(planned)}"
        return
    for port, tensor in zip(ports, tensors, strict=True):
        shape = [axis.get_length() if axis.is_static else _OPEN for axis in port.get_partial_shape()]
        if not _agrees(shape, tensor, exactly=role == "input"):
            yield f"{file}: the {role} '{tensor.name}' has shape {shape}; planned {list(tensor.shape)}"
        if port.get_element_type() != _TYPES[tensor.dtype]:
            yield f"{file}: the {role} '{tensor.name}' is {port.get_element_type()}; planned {tensor.dtype}"


def _agrees(shape: list[int | str], tensor: TensorPlan, *, exactly: bool) -> bool:
    """Tell whether the axes of a file are those planned.

    OpenVINO works out the shapes of outputs itself, and where a graph reshapes by a computed shape it does not see what
    is static: an axis planned as 4 may be open in the file. That is no fault, since every run is held to the planned
    shape. The other way round, an axis that is planned as open and is 4 in the file was baked in.

    Args:
        shape: the axes of the file, ``?`` for an open one.
        tensor: what was planned.
        exactly: an axis may not be open where it is planned as static.
    """
    planned = [axis if isinstance(axis, int) else _OPEN for axis in tensor.shape]
    if exactly or len(shape) != len(planned):
        return shape == planned
    return all(axis in (_OPEN, other) for axis, other in zip(shape, planned, strict=True))
