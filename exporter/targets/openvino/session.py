"""Run a graph in OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import openvino

from exporter.errors import ExportError, first_line
from exporter.planning.dtypes import Array

# Left to itself the CPU plugin computes in bfloat16 or float16 where the processor is faster in them.
_EXACT = {"EXECUTION_MODE_HINT": "ACCURACY"}


class OpenVinoSession:
    """A compiled graph, computed in the dtypes that it is written in."""

    def __init__(self, path: Path) -> None:
        """Open a graph.

        Args:
            path: the ``.xml``, with its ``.bin`` beside it.

        Raises:
            ExportError: OpenVINO refuses the file.
        """
        self.name = f"openvino {openvino.__version__.partition('-')[0]}"
        try:
            model = openvino.Core().read_model(path)
            self._request: Any = openvino.compile_model(model, "CPU", _EXACT).create_infer_request()
        except Exception as error:
            raise ExportError(f"OpenVINO cannot open {path.name}: {first_line(error)}") from error

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in graph order."""
        for name, array in inputs.items():
            self._request.set_tensor(name, _to_tensor(array))
        self._request.infer()
        return [_to_array(tensor) for tensor in self._request.output_tensors]


def _to_tensor(array: Array) -> Any:
    """Return a tensor over an array's values.

    numpy knows bfloat16 by an extension that OpenVINO does not read, so bfloat16 is handed over as bits.
    """
    array = np.ascontiguousarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return openvino.Tensor(array.view(np.uint8), openvino.Shape(list(array.shape)), openvino.Type.bf16)
    return openvino.Tensor(array)


def _to_array(tensor: Any) -> Array:
    """Return a copy of a tensor's values, which the next run overwrites."""
    copy: Array = np.array(tensor.data)
    return copy.view(ml_dtypes.bfloat16) if tensor.element_type == openvino.Type.bf16 else copy
