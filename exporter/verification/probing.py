"""Probe a program: give each dynamic dim another size alone, and see whether the program follows.

A tracer that met a size as a number has baked it in, and says nothing. The check points vary all dims at once: they
catch that a size was baked in, but not of which dim.
"""

from __future__ import annotations

from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.target import Session
from exporter.steps import Progress
from exporter.verification.comparison import Sample, compare_outputs
from exporter.verification.expected import Expected
from exporter.verification.report import Comparison

DYNAMIC, STATIC, TOGETHER, NOT_PROBED = "dynamic", "static", "with others", "not probed"


def probe_dims(
    session: Session,
    graph: GraphPlan,
    plan: Plan,
    expected: Expected,
    progress: Progress = lambda _: None,
) -> tuple[dict[str, str], list[str]]:
    """Probe every dynamic dim of a graph.

    Args:
        session: the opened program.
        graph: its plan.
        plan: the plan it belongs to, whose probes are taken.
        expected: what the untouched model gives.
        progress: told what is being done.

    Returns:
        The verdict for each dim, and a line for each that was baked in.
    """
    verdicts: dict[str, str] = {}
    problems: list[str] = []
    for dim in probed_dims(graph, plan):
        progress(f"{graph.component}: is {dim} open?")
        verdicts[dim] = TOGETHER
        for point in plan.sizes.probes[dim]:
            sample = expected.probe(graph, point, plan.sizes.seed)
            if sample is None:
                continue
            failure = _find_failure(session, graph, plan, sample)
            verdicts[dim] = DYNAMIC if failure is None else STATIC
            if failure is not None:
                traced = plan.sizes.trace.sizes[dim]
                problems.append(
                    f"{graph.component}: '{dim}' was baked in at {traced}: at {point.sizes[dim]} alone, {failure}"
                )
                break
    return verdicts, problems


def probed_dims(graph: GraphPlan, plan: Plan) -> list[str]:
    """Return the dims that are probed of a graph: those of the plan's that its inputs have."""
    used = {dim for tensor in graph.inputs for dim in tensor.dims()}
    return [dim for dim in plan.sizes.probes if dim in used]


def _find_failure(session: Session, graph: GraphPlan, plan: Plan, sample: Sample) -> str | None:
    comparisons = compare_outputs(session, graph, sample, plan.bound)
    failed = next((comparison for comparison in comparisons if not comparison.passed), None)
    return _describe(failed) if failed is not None else None


def _describe(failed: Comparison) -> str:
    if failed.problem is not None:
        return f"'{failed.output}': {failed.problem}"
    return f"'{failed.output}' differs by {failed.max_abs:.2e}"
