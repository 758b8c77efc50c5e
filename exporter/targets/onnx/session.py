"""Run an ONNX graph without torch.

ONNX Runtime is what users deploy with. Its CPU kernels do not cover bfloat16, so those graphs run in the ONNX reference
evaluator; reports name the runtime that was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import ExportError, first_line
from exporter.planning.dtypes import Array
from exporter.planning.target import Session
from exporter.targets.onnx.limits import EMBEDDED_LIMIT


class OnnxRuntimeSession:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, path: Path, *, prepack: bool) -> None:
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that wait by spinning take the processor from the model that is compared with, and from other builds.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not prepack:
            # Prepacking makes a private copy of every weight; the mapped file serves as well for a few runs.
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot open {path.name}: {first_line(error)}") from error

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in graph order."""
        outputs: list[Array] = self._session.run(None, dict(inputs))
        return outputs


class ReferenceSession:
    """A graph in the ONNX reference evaluator."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        self.name = f"onnx {onnx.__version__} reference evaluator"
        self._evaluator = ReferenceEvaluator(str(path), new_ops=[_gather_elements()])

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in graph order."""
        return [np.asarray(output) for output in self._evaluator.run(None, dict(inputs))]


def _gather_elements() -> Any:
    """Return GatherElements for the reference evaluator, whose own (onnx 1.23) fails on data of more than 32 rows."""
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):  # type: ignore[misc] # onnx has no types
        op_domain = ""

        def _run(self, data: Array, indices: Array, axis: int = 0) -> tuple[Array]:
            axis %= data.ndim
            within = tuple(slice(None) if at == axis else slice(size) for at, size in enumerate(indices.shape))
            return (np.take_along_axis(data[within], indices, axis),)

    return GatherElements


def open_session(path: Path, dtype: str, *, prepack: bool = False) -> Session:
    """Open a graph in the runtime that can compute its dtype.

    Args:
        path: the file.
        dtype: of weights and computation.
        prepack: let ONNX Runtime make its private copy of every weight, as it does for users.

    Raises:
        ExportError: the runtime refuses the file.
    """
    if dtype == "bfloat16":
        return ReferenceSession(path)
    return OnnxRuntimeSession(path, prepack=prepack)


def has_shipped_form(path: Path, dtype: str) -> bool:
    """Tell whether a second session, as users open it, is worth its private copy of every weight."""
    data = path.with_name(f"{path.name}_data")
    size = (data if data.is_file() else path).stat().st_size
    return dtype != "bfloat16" and size < EMBEDDED_LIMIT
