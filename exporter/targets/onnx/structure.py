"""The structure of a written ONNX file, against its plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from exporter.errors import first_line
from exporter.planning.dtypes import NUMPY_DTYPES
from exporter.planning.plan import GraphPlan, Plan, TensorPlan

# What a value can hold, by the number that stands for it in a file.
_DTYPES = {onnx.helper.np_dtype_to_tensor_dtype(dtype): dtype for dtype in NUMPY_DTYPES.values()}
# Embedded weights above this are not worth parsing a second time: the runtime has read the file.
_PARSED_LIMIT = 1 << 28


def check_structure(path: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    """Return what the written file has other than planned: names, order, dtypes, symbolic dims, opset."""
    if path.stat().st_size >= _PARSED_LIMIT:
        return []
    problems: list[str] = []
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        problems.append(f"{path.name} does not pass onnx.checker: {first_line(error)}")
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        return [*problems, f"{path.name} cannot be read: {first_line(error)}"]
    opset = next((entry.version for entry in proto.opset_import if entry.domain == ""), None)
    if opset != plan.recording.opset:
        problems.append(f"{path.name} has opset {opset}, and {plan.recording.opset} was asked for")
    problems += _external_problems(proto, path)
    problems += _signature_problems(path.name, "input", proto.graph.input, graph.inputs)
    problems += _signature_problems(path.name, "output", proto.graph.output, graph.outputs)
    return problems


def _external_problems(proto: Any, path: Path) -> Iterator[str]:
    """Yield what is wrong with weights beside the file.

    The checker passes a weight that ends beyond its data file, on which a runtime would crash.
    """
    for tensor in proto.graph.initializer:
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entry = {item.key: item.value for item in tensor.external_data}
        data = path.parent / entry.get("location", "")
        numbers = [entry.get(key, "0") for key in ("offset", "length")]
        end = sum(map(int, numbers)) if all(map(str.isdecimal, numbers)) else data.stat().st_size + 1
        if not data.is_file() or data.parent != path.parent:
            yield f"{path.name}: the data of '{tensor.name}' is in '{entry.get('location')}', which is not beside it"
        elif end > data.stat().st_size:
            yield f"{path.name}: the data of '{tensor.name}' ends beyond {data.name}"


def _signature_problems(file: str, role: str, values: Any, tensors: tuple[TensorPlan, ...]) -> Iterator[str]:
    written = [value.name for value in values]
    planned = [tensor.name for tensor in tensors]
    if written != planned:
        yield f"{file}: its {role}s are {', '.join(written)}; planned {', '.join(planned)}"
        return
    for value, tensor in zip(values, tensors, strict=True):
        shape = tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if shape != tensor.shape:
            yield f"{file}: the {role} '{tensor.name}' has shape {list(shape)}; planned {list(tensor.shape)}"
        dtype = _DTYPES.get(value.type.tensor_type.elem_type)
        if dtype != NUMPY_DTYPES[tensor.dtype]:
            yield f"{file}: the {role} '{tensor.name}' is {dtype}; planned {tensor.dtype}"
