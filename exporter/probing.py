"""Probe a program: give each dynamic dim another size alone, and see whether the program follows.

A tracer that met a size as a number has baked it in, and says nothing. The check points vary all dims at once and catch that
too, but not which dim it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from exporter.dummies import make_dummies
from exporter.planning import GraphPlan, Plan, Point, axis_names
from exporter.runtime import Session
from exporter.verification import Comparison, Oracle, compare_outputs

Array = np.ndarray[Any, Any]
DYNAMIC, STATIC, TOGETHER = "dynamic", "static", "with others"


def probe_dims(
    session: Session,
    graph: GraphPlan,
    plan: Plan,
    oracle: Oracle,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, str], list[str]]:
    """Probe every dynamic dim of a graph.

    Args:
        session: the opened program.
        graph: its plan.
        plan: the plan it belongs to, whose probes are taken.
        oracle: computes what the untouched model does.

    Returns:
        The verdict for each dim, and a line for each that was baked in.
    """
    verdicts: dict[str, str] = {}
    problems: list[str] = []
    used = {name for tensor in graph.inputs for axis in tensor.shape for name in axis_names(axis)}
    for dim, points in plan.probes.items():
        if dim not in used:
            continue
        progress(f"{graph.component}: is {dim} open?")
        verdicts[dim] = TOGETHER
        for point in points:
            expected = _model_at(graph, plan, point, oracle)
            if expected is None:
                continue
            failed = _failure(session, graph, plan, point, expected)
            verdicts[dim] = DYNAMIC if failed is None else STATIC
            if failed is not None:
                traced = plan.trace.sizes[dim]
                problems.append(
                    f"{graph.component}: '{dim}' was baked in at {traced}: at {point.sizes[dim]} alone, {failed}"
                )
                break
    return verdicts, problems


def _model_at(graph: GraphPlan, plan: Plan, point: Point, oracle: Oracle) -> list[Array] | None:
    """Return what the model computes at a point, or None where these sizes are none of its own: it refuses them, or its outputs have others."""
    try:
        outputs = oracle(make_dummies(graph, point, plan.seed))
    except Exception:
        return None
    shapes = [tensor.sizes_at(point.sizes) for tensor in graph.outputs]
    return outputs if [output.shape for output in outputs] == shapes else None


def _failure(session: Session, graph: GraphPlan, plan: Plan, point: Point, expected: list[Array]) -> str | None:
    inputs = make_dummies(graph, point, plan.seed)
    for one in compare_outputs(session, graph, plan, point, plan.seed, inputs, expected):
        if not one.passed:
            return _describe(one)
    return None


def _describe(one: Comparison) -> str:
    return (
        f"'{one.output}': {one.problem}" if one.problem is not None else f"'{one.output}' differs by {one.max_abs:.2e}"
    )
