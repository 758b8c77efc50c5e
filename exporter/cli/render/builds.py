"""Plans and build results as text a person can act on, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter import records
from exporter.building.measuring import Measurement
from exporter.building.pool import Outcome
from exporter.building.requests import Build
from exporter.cli.junit import Case
from exporter.cli.render.machine import VERIFICATION, describe_failure, error_data
from exporter.errors import first_line, format_bytes
from exporter.planning.heads import head_text
from exporter.planning.plan import GraphPlan, Plan, TensorPlan
from exporter.planning.words import bound_text, group_layers, recording_text, sizes_text, tensor_text
from exporter.verification.report import Report


def headline(builds: list[Build]) -> list[str]:
    """Return what is about to be built, and from what, in two lines for each architecture."""
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
    title = f"{build.architecture} {build.task}  {outcome.seconds:.1f} s"
    if outcome.error is not None:
        return f"✗ {title}"
    if outcome.report is None:
        return f"✓ {title}  NOT VERIFIED  → {build.output}"
    if outcome.report.unproved:
        first, *others = outcome.report.unproved
        more = f" (and {len(others)} more)" if others else ""
        return f"! {title}  NOT PROVED: {first}{more}  → {build.output}"
    share = max((comparison.share for comparison in outcome.report.comparisons), default=0.0)
    return f"✓ {title}  verified, largest difference {share:.0%} of its bound  → {build.output}"


def case_of(build: Build) -> Case:
    """Return a build as a test of a report."""
    what = " ".join([build.task, *build.request.targets])
    return Case(build.architecture, f"{what} → {build.output}")


def ended_case(outcome: Outcome) -> Case:
    """Return a build that ended as a test of a report, with how it ended."""
    case = replace(case_of(outcome.build), seconds=outcome.seconds, details=outcome_line(outcome))
    return case if outcome.error is None else case.failing(outcome.error.exit_code, describe_failure(outcome.error))


def verified_case(directory: Path, report: Report, seconds: float) -> Case:
    """Return a verification as a test of a report."""
    case = Case(directory.resolve().name, str(directory), seconds, details="\n".join(report_text(report)))
    if report.passed:
        return case
    return case.failing(1, error_data(VERIFICATION, "\n".join(report.failures())))


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
        for *cells, measured in rows:
            padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            yield f"    {'  '.join((*padded, measured))}".rstrip()
    for remark in outcome.remarks:
        yield f"  the checkpoint: {remark}"
    for note in plan.notes:
        yield f"  note: {note}"
    for remark in outcome.place_remarks:
        yield f"  the output: {remark}"
    if plan.recording.tracer_because is not None:
        yield f"  recorded by {plan.recording.tracer}: {plan.recording.tracer_because}"
    for patch, reason in plan.recording.patches.items():
        yield f"  recorded with the patch {patch}: {reason}"
    if report is None:
        yield "  not verified (--no-verify): nothing says that this graph computes what the model computes"
    else:
        sizes = "; ".join(sizes_text(point.sizes) for point in plan.sizes.points)
        compared = f"{len(report.comparisons)} comparisons within {bound_text(plan.bound)}"
        yield f"  {report.verdict} in {report.runtime}: {compared} at {sizes}"
        for line in report.unproved:
            yield f"    {line}"


def _rows(graph: GraphPlan, report: Report | None) -> Iterator[tuple[str, str, str, str]]:
    for role, tensors in (("in", graph.inputs), ("out", graph.outputs)):
        for name, group in group_layers(tensors).items():
            measured = _measured(graph, group, report) if role == "out" and report is not None else ""
            yield role, name, tensor_text(group[0]), measured


def _measured(graph: GraphPlan, group: list[TensorPlan], report: Report) -> str:
    names = {tensor.name for tensor in group}
    comparisons = [
        comparison
        for comparison in report.comparisons
        if comparison.graph == graph.component and comparison.output in names
    ]
    if not comparisons:
        return ""
    difference = max(comparison.max_abs for comparison in comparisons)
    share = max(comparison.share for comparison in comparisons)
    return f"max difference {difference:.1e}, {share:.0%} of its bound"


def report_text(report: Report) -> Iterator[str]:
    """Yield the worst difference of each output, and the verdict where it is good."""
    for (graph, output), worst in report.worst().items():
        share = f"{worst.share:.0%} of its bound"
        yield f"{graph}  {output}  max difference {worst.max_abs:.1e}, {share}, at {worst.point}"
    for remark in report.remarks:
        yield f"note: {remark}"
    if report.passed:
        bound = f"atol {report.atol:.1e}, rtol {report.rtol:.1e}"
        yield f"{report.verdict} in {report.runtime}: {len(report.comparisons)} comparisons, {bound}"
    for line in report.unproved:
        yield f"not proved: {line}"


def _passing_text(tensor: TensorPlan) -> str:
    """Return what the model is passed of an input, where that is not the whole input under the input's own name.

    An encoder's output that is passed as ``encoder_outputs.0``, without the positions that the cache holds already, is
    ``  as encoder_outputs.0, beyond past_encoder_sequence``.
    """
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
            yield f"    in    {tensor.name}: {tensor_text(tensor)}{text}{_passing_text(tensor)}"
        for tensor in graph.outputs:
            read = ".".join(map(str, tensor.path))
            yield f"    out   {tensor.name}: {tensor_text(tensor)}" + (f"  from {read}" if read != tensor.name else "")
        for name in graph.ignored:
            yield f"    not   {name}"
    if plan.model.head:
        yield f"  then    {head_text(plan.model.head)}"
    for note in plan.notes:
        yield f"  note: {note}"
    if plan.recording.tracer_because is not None:
        yield f"  recorded by {plan.recording.tracer}: {plan.recording.tracer_because}"
    for patch, reason in plan.recording.patches.items():
        yield f"  patched: {patch} ({reason})"
    for point in plan.sizes.points:
        yield f"  {point.name}: {sizes_text(point.sizes)}"
    yield f"  within {bound_text(plan.bound)}" + (f" ({plan.bound.because})" if plan.bound.because else "")


def _fill_text(tensor: TensorPlan) -> str:
    fill = tensor.fill
    if fill is None:
        return ""
    ending = f" ending({fill.ending})" if fill.ending is not None else ""
    return fill.name + (f"({', '.join(map(str, fill.args))})" if fill.args else "") + ending


def measurement_line(measurement: Measurement) -> str:
    """Return one line for a measured task: the worst difference, the bound it supports, how the spec's bound fits."""
    title = f"{measurement.architecture} {measurement.task}".ljust(48)
    if not measurement.output:
        return f"{title} not measured: {first_line(measurement.error or 'no comparison')}"
    # Where the bound is too tight the verdict says so, and the error of the failed verification would say it again.
    failure = f"; {_last_line(measurement.error)}" if measurement.error and measurement.share <= 1 else ""
    bound = f"{{atol: {measurement.suggested:.1e}, rtol: {measurement.suggested:.1e}}}"
    return (
        f"{title} {measurement.output} differs by {measurement.difference:.1e}, values reach "
        f"{measurement.magnitude:.2g}; supports {bound}; "
        f"the spec's bound is {measurement.verdict} ({measurement.share:.0%} used){failure}"
    )


def _last_line(message: str) -> str:
    """Return the last line of an error's message: of a failed verification, the last thing that is wrong."""
    return first_line(message.rstrip().rpartition("\n")[2])


def measurement_data(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as JSON-serialisable data, with the bound it suggests and the verdict."""
    conclusions = {"suggested": measurement.suggested, "verdict": measurement.verdict}
    return {**records.to_data(measurement), **conclusions}


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
        "error": describe_failure(error) if error is not None else None,
        "plan": outcome.plan.to_data() if outcome.plan is not None else None,
        "report": outcome.report.to_data() if outcome.report is not None else None,
        "files": dict(outcome.files),
        "remarks": list(outcome.remarks),
        "left_behind": {item.name: item.reason for item in outcome.left},
        "place_remarks": list(outcome.place_remarks),
    }
