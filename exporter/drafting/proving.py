"""Whether a draft holds: what the linter finds, what its reference shows, and what builds measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.artifacts.claims import scratch_directory
from exporter.building.measuring import Measurement, measure
from exporter.building.request import plan_config
from exporter.drafting.draft import Draft
from exporter.drafting.writing import write_spec
from exporter.errors import ExporterError
from exporter.language.diagnostics import Diagnostic, SpecError
from exporter.language.linting import lint_paths
from exporter.language.loading import load_spec
from exporter.models.examination import examine_spec


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of the builds of one task: with which tracer it was built, or why with none."""

    task: str
    tracer: str | None
    measurement: Measurement


def lint_draft(draft: Draft) -> list[Diagnostic]:
    """Return what the linter finds in a draft as it would be written."""
    with scratch_directory() as scratch:
        return list(lint_paths([str(_written(draft, scratch))]).diagnostics)


def disproved_tasks(draft: Draft, progress: Callable[[str], None]) -> dict[str, str]:
    """Return the tasks whose references disagree with the draft, each with what was found first."""
    found: dict[str, str] = {}
    with scratch_directory() as scratch:
        try:
            spec = load_spec(_written(draft, scratch))
        except SpecError as error:
            return dict.fromkeys(draft.tasks, error.diagnostics[0].message)
        for name, task in spec.tasks.items():
            progress(f"examining {name}")
            findings = examine_spec(replace(spec, tasks={name: task}), plan_config)
            if findings:
                found[name] = findings[0].message
    return found


def build_draft(draft: Draft, tracers: tuple[str, ...], progress: Callable[[str], None]) -> Iterator[Proof]:
    """Build the references of a draft with the first tracer, and what fails with the next; yield how it went."""
    left = list(draft.tasks)
    with scratch_directory() as scratch:
        path = _written(draft, scratch)
        for tracer in tracers:
            if not left:
                return
            for measurement in _measure(path, tuple(left), tracer, progress):
                # A bound that is exceeded is a measurement: the graph was built.
                built = measurement.error is None or measurement.verdict == "too tight"
                if built or tracer == tracers[-1]:
                    yield Proof(measurement.task, tracer if built else None, measurement)
                if built:
                    left.remove(measurement.task)


def _measure(path: Path, tasks: tuple[str, ...], tracer: str, progress: Callable[[str], None]) -> Iterator[Measurement]:
    """Build tasks and yield what is measured; one that is refused before work does not keep the others from it."""
    given = {"tasks": tasks, "tracer": tracer}
    try:
        yield from measure([str(path)], given, lambda build, text: progress(f"{build.task}: {text}"))
    except ExporterError as error:
        if len(tasks) > 1:
            for task in tasks:
                yield from _measure(path, (task,), tracer, progress)
        else:
            nan = math.nan
            yield Measurement(path.stem, tasks[0], nan, nan, "", nan, nan, error.message, error.exit_code)


def _written(draft: Draft, scratch: Path) -> Path:
    path = scratch / f"{draft.architecture}.yaml"
    path.write_text(write_spec(draft), "utf-8")
    return path
