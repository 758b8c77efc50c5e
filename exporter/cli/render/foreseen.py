"""What a build would do, as text and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from exporter.building.dry_run import Foreseen, Place
from exporter.building.durations import Duration
from exporter.building.requests import Build
from exporter.cli.junit import Case
from exporter.cli.render.builds import case_of
from exporter.cli.render.machine import describe_failure
from exporter.errors import format_bytes
from exporter.planning.choices import Choice
from exporter.planning.plan import Plan
from exporter.planning.words import group_layers, sizes_text

_SHOWN_FILES = 4


def foreseen_text(foreseen: Foreseen) -> Iterator[str]:
    """Yield a build that was looked at: what it is, what it is made from, what it makes and where."""
    build = foreseen.build
    if build is None or build.choice is None:
        yield f"{foreseen.title}: cannot be built"
        return
    choice = build.choice
    source = (
        "its reference, a tiny model with random weights" if build.model is None else f"the checkpoint {build.model}"
    )
    yield f"{foreseen.title}  ({build.task_reason})"
    yield f"  from   {source}{_files_text(foreseen)}"
    yield f"  as     {_choice_text(choice)}"
    if foreseen.plan is not None:
        yield from _graphs_text(foreseen.plan)
        yield f"  dims   {_dims_text(foreseen.plan)}"
    elif not foreseen.refusals:
        yield "  graphs are planned with transformers, as the build begins: a size follows from its code alone"
    if foreseen.place is not None:
        yield f"  to     {_place_text(foreseen.place)}"
        free = f"; {format_bytes(foreseen.place.free)} are free" if foreseen.place.free is not None else ""
        size = "unknown before it is built" if foreseen.size is None else f"about {format_bytes(foreseen.size)}"
        yield f"  size   {size}{free}"
    yield f"  time   {_time_text(foreseen.last)}"


def foreseen_case(foreseen: Foreseen) -> Case:
    """Return a build that was looked at as a test of a report, with the first reason why it cannot be made."""
    build = foreseen.build
    case = case_of(build) if build is not None else Case("refused", foreseen.title)
    case = replace(case, details="\n".join(foreseen_text(foreseen)))
    refusal = next(iter(foreseen.refusals), None)
    return case if refusal is None else case.failing(refusal.exit_code, describe_failure(refusal))


def _files_text(foreseen: Foreseen) -> str:
    if not foreseen.files:
        return ""
    largest = sorted(foreseen.files.items(), key=lambda file: -file[1])
    shown = ", ".join(f"{name} {format_bytes(size)}" for name, size in largest[:_SHOWN_FILES])
    more = f" and {len(largest) - _SHOWN_FILES} more" if len(largest) > _SHOWN_FILES else ""
    weights = f"; weights {format_bytes(foreseen.weights)}" if foreseen.weights is not None else ""
    return f": {shown}{more}{weights}"


def _choice_text(choice: Choice) -> str:
    opset = f", opset {choice.opset}, {choice.tracer} tracer" if choice.opset is not None else ""
    layout = f", layout {choice.arrangement.name}"
    return f"{choice.target.name}, {choice.options.dtype}{opset}{layout}"


def _graphs_text(plan: Plan) -> Iterator[str]:
    for graph in plan.graphs:
        inputs, outputs = (", ".join(group_layers(tensors)) for tensors in (graph.inputs, graph.outputs))
        yield f"  graph  {graph.file}: {inputs} → {outputs}"


def _dims_text(plan: Plan) -> str:
    still_open = list(_open_dims(plan))
    parts = [f"{', '.join(still_open)} stay open"] if still_open else []
    if plan.sizes.fixed:
        parts.append(f"fixed at {sizes_text(plan.sizes.fixed)}")
    return "; ".join(parts) or "all sizes are fixed"


def _open_dims(plan: Plan) -> tuple[str, ...]:
    tensors = (tensor for graph in plan.graphs for tensor in (*graph.inputs, *graph.outputs))
    return tuple(dict.fromkeys(dim for tensor in tensors for dim in tensor.dims()))


def _place_text(place: Place) -> str:
    match place.holds:
        case "nothing":
            return f"{place.directory}, where nothing is"
        case "an artifact" if place.artifact is not None:
            what = f"{place.artifact['architecture']} {place.artifact['task']}, {place.artifact['dtype']}"
            opset = f", opset {place.artifact['opset']}" if place.artifact["opset"] is not None else ""
            return f"{place.directory}, in the place of an artifact ({what}{opset}, {format_bytes(place.bytes)})"
        case "a file":
            return f"{place.directory}, where a file is"
    return f"{place.directory}, where other files are ({format_bytes(place.bytes)})"


def _time_text(last: Duration | None) -> str:
    if last is None:
        return "it was not built before, as far as this machine remembers"
    return f"{last.seconds:.0f} s last time, on {datetime.fromtimestamp(last.ended, UTC):%Y-%m-%d}"


def summary(looked_at: Sequence[Foreseen]) -> str:
    """Return how many builds would be run, and how many cannot be."""
    refused = sum(bool(each.refusals) for each in looked_at)
    ready = len(looked_at) - refused
    builds = "1 build" if ready == 1 else f"{ready} builds"
    sizes = [each.size for each in looked_at if not each.refusals]
    known = [size for size in sizes if size is not None]
    size = f", about {format_bytes(sum(known))} in all" if ready > 1 and len(known) == len(sizes) else ""
    return f"{builds} would be run{size}" + (f"; {refused} cannot be" if refused else "") + "; nothing was built"


def foreseen_data(looked_at: Sequence[Foreseen]) -> list[dict[str, Any]]:
    """Return builds that were looked at as JSON-serialisable data."""
    return [_data(each) for each in looked_at]


def _data(foreseen: Foreseen) -> dict[str, Any]:
    build, plan, place, last = foreseen.build, foreseen.plan, foreseen.place, foreseen.last
    return {
        "title": foreseen.title,
        **_build_data(build),
        "dims": {"open": list(_open_dims(plan)), "fixed": dict(plan.sizes.fixed)} if plan is not None else None,
        "plan": plan.to_data() if plan is not None else None,
        "source": {"files": dict(foreseen.files), "weights": foreseen.weights},
        "bytes": foreseen.size,
        "output": None
        if place is None
        else {
            "directory": str(place.directory),
            "holds": place.holds,
            "artifact": place.artifact,
            "bytes": place.bytes,
            "free": place.free,
        },
        "last": {"seconds": last.seconds, "bytes": last.bytes, "ended": last.ended} if last is not None else None,
        "refusals": [describe_failure(error) for error in foreseen.refusals],
    }


def _build_data(build: Build | None) -> dict[str, Any]:
    if build is None or build.choice is None:
        names = ("architecture", "task", "task_reason", "model", "target", "layout", "tracer", "dtype", "opset")
        return dict.fromkeys(names)
    choice = build.choice
    return {
        "architecture": build.architecture,
        "task": build.task,
        "task_reason": build.task_reason,
        "model": build.model,
        "target": choice.target.name,
        "layout": choice.arrangement.name,
        "tracer": choice.tracer,
        "dtype": choice.options.dtype,
        "opset": choice.opset,
    }
