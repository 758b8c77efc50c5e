"""Plans and build results as text a person can act on, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.building.measuring import Measurement
from exporter.building.pool import Outcome
from exporter.building.requests import Build
from exporter.planning.plan import GraphPlan, Plan, TensorPlan
from exporter.planning.words import bound_text, group_layers, recording_text, tensor_text
from exporter.verification.report import Comparison, Report


def headline(builds: list[Build]) -> list[str]:
    """Return what is about to be built, and from what, in a line or two."""
    lines: list[str] = []
    groups: dict[tuple[str, str | None, str], list[str]] = {}
    for build in builds:
        groups.setdefault((build.architecture, build.model, build.task_reason), []).append(build.task)
    for (architecture, model, reason), tasks in groups.items():
        if model is None:
            source = "its reference, a tiny model with random weights (give --model for a checkpoint)"
        else:
            source = f"the checkpoint {model}"
        lines.append(f"Building {architecture} from {source}")
        lines.append(f"  {'task' if len(tasks) == 1 else 'tasks'}: {', '.join(tasks)} ({reason})")
    return lines


def outcome_line(outcome: Outcome) -> str:
    """Return one line for a build that ended."""
    build = outcome.build
    what = f"{build.architecture} {build.task}"
    if outcome.error is not None:
        return f"✗ {what}  {outcome.seconds:.1f} s"
    if outcome.report is None:
        return f"✓ {what}  {outcome.seconds:.1f} s  NOT VERIFIED  → {build.output}"
    share = max((one.share for one in outcome.report.comparisons), default=0.0)
    return f"✓ {what}  {outcome.seconds:.1f} s  verified, largest difference {share:.0%} of its bound  → {build.output}"


def summarize(outcome: Outcome) -> Iterator[str]:
    """Yield the summary of one artifact: every tensor with its shape, bound and difference."""
    plan, report = outcome.plan, outcome.report
    if plan is None:
        return
    yield f"{outcome.build.output}  ({outcome.model_class}, {plan.model.dtype}, {recording_text(plan.recording)})"
    for graph in plan.graphs:
        size = outcome.files.get(graph.file, 0) + outcome.files.get(f"{graph.file}_data", 0)
        yield f"  {graph.file}  {format_bytes(size)}"
        rows = list(_rows(graph, report))
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        for row in rows:
            yield (
                "    "
                + "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])).rstrip()
            )
    for note in plan.notes:
        yield f"  note: {note}"
    for patch, reason in plan.recording.patches.items():
        yield f"  recorded with the patch {patch}: {reason}"
    if report is None:
        yield "  not verified (--no-verify): nothing says that this graph computes what the model computes"
    else:
        sizes = "; ".join(
            " ".join(f"{name} {size}" for name, size in point.sizes.items()) or "fixed sizes"
            for point in plan.sizes.points
        )
        yield f"  verified in {report.runtime}: {len(report.comparisons)} comparisons within {bound_text(plan.bound)} at {sizes}"


def _rows(graph: GraphPlan, report: Report | None) -> Iterator[tuple[str, str, str, str]]:
    for role, tensors in (("in", graph.inputs), ("out", graph.outputs)):
        for name, group in group_layers(tensors).items():
            measured = _measured(graph, group, report) if role == "out" and report is not None else ""
            yield role, name, tensor_text(group[0]), measured


def _measured(graph: GraphPlan, group: list[TensorPlan], report: Report) -> str:
    names = {tensor.name for tensor in group}
    found = [one for one in report.comparisons if one.graph == graph.component and one.output in names]
    if not found:
        return ""
    worst: Comparison = max(found, key=lambda one: one.share)
    return f"max difference {max(one.max_abs for one in found):.1e}, {worst.share:.0%} of its bound"


def _handed_over(tensor: TensorPlan) -> str:
    """Return how an input meets the model, where that is not under its own name and whole."""
    passed = ".".join(map(str, tensor.path))
    name = "" if passed == tensor.name else f"  as {passed}" if passed else "  for clients alone"
    return name + (f", beyond {tensor.beyond}" if tensor.beyond is not None else "")


def plan_text(plan: Plan) -> Iterator[str]:
    """Yield a plan as text: every graph and tensor, the points, the bound."""
    made_by = plan.model.model_class or plan.model.auto_class
    yield f"{plan.model.architecture} {plan.task}  ({made_by}, {plan.model.dtype}, {recording_text(plan.recording)})"
    for graph in plan.graphs:
        yield f"  {graph.file}" + (f"  of the submodule {graph.module}" if graph.module else "")
        for name, value in graph.constants.items():
            yield f"    with  {name} = {value}"
        for tensor in graph.built:
            yield f"    with  {'.'.join(map(str, tensor.path))} = {tensor_text(tensor)} {_fill_text(tensor)}"
        for tensor in graph.inputs:
            text = f" = {_fill_text(tensor)}" if tensor.fill is not None else ""
            yield f"    in    {tensor.name}: {tensor_text(tensor)}{text}{_handed_over(tensor)}"
        for tensor in graph.outputs:
            read = ".".join(map(str, tensor.path))
            yield f"    out   {tensor.name}: {tensor_text(tensor)}" + (f"  from {read}" if read != tensor.name else "")
        for name in graph.ignored:
            yield f"    not   {name}"
    for note in plan.notes:
        yield f"  note: {note}"
    for patch, reason in plan.recording.patches.items():
        yield f"  patched: {patch} ({reason})"
    for point in plan.sizes.points:
        yield f"  {point.name}: {', '.join(f'{name} {size}' for name, size in point.sizes.items()) or 'fixed sizes'}"
    yield f"  within {bound_text(plan.bound)}" + (f" ({plan.bound.because})" if plan.bound.because else "")


def _fill_text(tensor: TensorPlan) -> str:
    fill = tensor.fill
    if fill is None:
        return ""
    ending = f" ending({fill.ending})" if fill.ending is not None else ""
    return fill.name + (f"({', '.join(map(str, fill.args))})" if fill.args else "") + ending


def measurement_line(one: Measurement) -> str:
    """Return one line for a measured task: the worst difference, the bound it supports, and how the spec's bound fits."""
    what = f"{one.architecture} {one.task}".ljust(48)
    if not one.output:
        return f"{what} not measured: {(one.error or 'no comparison').splitlines()[0]}"
    bound = f"{{atol: {one.suggested:.1e}, rtol: {one.suggested:.1e}}}"
    failed = "" if one.error is None or one.share > 1 else f"; {one.error.splitlines()[-1].strip()}"
    return (
        f"{what} {one.output} differs by {one.difference:.1e}, values reach {one.magnitude:.2g}; "
        f"supports {bound}; the spec's bound is {one.verdict} ({one.share:.0%} used){failed}"
    )


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """Return a build's outcome as JSON-serialisable data."""
    error = outcome.error
    return {
        "architecture": outcome.build.architecture,
        "task": outcome.build.task,
        "model": outcome.build.model,
        "output": str(outcome.build.output),
        "seconds": round(outcome.seconds, 3),
        "ok": error is None,
        "error": {"kind": type(error).__name__, "message": error.message, "help": error.help}
        if error is not None
        else None,
        "plan": outcome.plan.to_data() if outcome.plan is not None else None,
        "report": outcome.report.to_data() if outcome.report is not None else None,
        "files": dict(outcome.files),
    }


def format_bytes(size: int) -> str:
    """Return a size in the largest unit that keeps it above one."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"
