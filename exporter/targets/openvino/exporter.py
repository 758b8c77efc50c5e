"""Write a graph as OpenVINO reads it: recorded as ONNX, converted, and saved under reproducible names."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino

from exporter.errors import ExportError, first_line
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.onnx import exporter as onnx_exporter


def attention_of(plan: Plan) -> str | None:
    """Return the attention implementation that the plan's tracer records best, or None for the model's own."""
    return onnx_exporter.attention_of(plan)


def export_graph(model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[Any]:
    """Write one graph of a model to ``directory`` as ``.xml`` and ``.bin``.

    Returns:
        The weights it uses, as torch tensors.

    Raises:
        ExportError: the tracer fails, records another graph than planned, or OpenVINO cannot read what it recorded.
    """
    path = directory / graph.file
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=directory) as scratch:
        recorded = Path(graph.file).with_suffix(".onnx").name
        weights = onnx_exporter.export_graph(
            model, replace(graph, file=recorded, files=(recorded,)), plan, Path(scratch)
        )
        try:
            converted = openvino.Core().read_model(Path(scratch) / recorded)
            name_operations(converted)
            openvino.save_model(converted, path, compress_to_fp16=bool(plan.recording.settings.get("compress_to_fp16")))
        except Exception as error:
            raise ExportError(
                f"OpenVINO cannot convert '{graph.component}' of {plan.title}: {first_line(error)}",
                help="say so in the spec under 'targets:' with the reason, or build another target",
            ) from error
        # The converted model maps the recorded file, which goes with the directory.
        del converted
    return weights


def name_operations(model: Any) -> None:
    """Name the operations that OpenVINO named by a counter of its process, so that equal graphs give equal bytes.

    An operation that came under a name of the model (``/encoder/layer.0/MatMul``) keeps it. One that the frontend added
    is called ``Constant_2215`` where 2,214 others were made before it in this process; it is called after its place in
    the graph instead.
    """
    for index, operation in enumerate(model.get_ordered_ops()):
        kind = operation.get_type_name()
        if re.fullmatch(rf"{re.escape(kind)}_\d+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{kind}_{index}")
