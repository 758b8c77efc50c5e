"""Write ONNX: record a graph with the plan's tracer, make it the planned one, write it with its weights streamed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from exporter.errors import ExporterError, ExportError, describe_error
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.onnx.conform import finish_graph, weights_of
from exporter.targets.onnx.file import write_onnx
from exporter.targets.onnx.tracers import Trace


def attention_of(plan: Plan) -> str | None:
    """Return the attention implementation the plan's tracer records best, or None for the model's own."""
    attention: str | None = _recorder(plan.recording.tracer).ATTENTION
    return attention


def export_graph(model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[torch.Tensor]:
    """Write one graph of a model to ``directory`` and return the weights it uses.

    Raises:
        ExportError: the tracer fails, or records another graph than planned.
    """
    finished = _finish(model, graph, plan)
    path = directory / graph.file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_onnx(finished, path, plan.recording.weights)
    return [weight.raw for weight in weights_of(finished)]


def _finish(model: Any, graph: GraphPlan, plan: Plan) -> Any:
    if plan.recording.opset is None:
        raise AssertionError("an ONNX plan has an opset")
    flat = FlatModel(model, graph, recorded=True).eval()
    inputs = tuple(map(to_torch, make_dummies(graph, plan.sizes.trace, plan.sizes.seed).values()))
    try:
        recorded: Trace = _recorder(plan.recording.tracer).record(flat, graph, inputs, plan.recording.opset)
    except ExporterError:
        raise
    except Exception as error:
        raise ExportError(
            f"the {plan.recording.tracer} tracer failed on '{graph.component}' of {plan.title}: "
            f"{describe_error(error)}",
            help="try the other tracer with --tracer",
        ) from error
    return finish_graph(recorded, graph, plan.recording.opset)


def _recorder(tracer: str) -> Any:
    return importlib.import_module(f"exporter.targets.onnx.tracers.{tracer}")
