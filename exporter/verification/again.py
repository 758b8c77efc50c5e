"""Verify an artifact again, whoever made it: what it says of itself is checked before anything in it is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifacts.manifest import (
    changed_files,
    check_files,
    read_manifest,
    read_plan,
    unknown_keys,
    unnamed_files,
)
from exporter.errors import some
from exporter.planning.plan import Bound, Plan
from exporter.steps import Progress
from exporter.targets.registry import find_target
from exporter.verification.expected import GoldenVectors
from exporter.verification.report import Comparison, Report
from exporter.verification.verify import verify_artifact

if TYPE_CHECKING:
    from exporter.models.checkpoints import Source

# A bound beyond these is looser than any that the specs of the catalogue have, by a factor of some ten.
LOOSEST = {"float32": 1e-3, "float16": 0.1, "bfloat16": 1.0}


@dataclass(frozen=True, slots=True)
class Asked:
    """How an artifact is verified again.

    Attributes:
        source: the checkpoint it was built from, to run beside it; None for its golden vectors.
        atol: another absolute tolerance than the manifest's.
        rtol: another relative tolerance than the manifest's.
        trust: open files that run code of whoever made the artifact.
    """

    source: Source | None = None
    atol: float | None = None
    rtol: float | None = None
    trust: bool = False


def verify_again(directory: Path, asked: Asked, progress: Progress) -> Report:
    """Verify the files, the structure and the numbers of an artifact.

    Raises:
        UsageError: the directory is no artifact, or a golden vector is missing or damaged.
        UntrustedError: a file would run code of whoever made the artifact, or reach outside of it.
        CheckpointError: the checkpoint is not the one the artifact was built from, or cannot be loaded.
        ExportError: a runtime refuses a file.
    """
    plan = read_plan(directory)
    manifest = read_manifest(directory)
    check_files(directory, manifest, plan)
    bound = dataclasses.replace(
        plan.bound,
        atol=plan.bound.atol if asked.atol is None else asked.atol,
        rtol=plan.bound.rtol if asked.rtol is None else asked.rtol,
    )
    plan = dataclasses.replace(plan, bound=bound)
    remarks = tuple(_remarks(directory, manifest, plan, asked))
    changed = tuple(changed_files(directory, manifest))
    if changed:
        return Report("", bound.atol, bound.rtol, (), changed, remarks=remarks)
    if not asked.trust:
        inspect_files(directory, plan)
    if asked.source is None:
        report = verify_artifact(directory, plan, GoldenVectors(directory), progress)
    else:
        from exporter.verification.beside import verify_beside

        report = verify_beside(directory, plan, asked.source, progress)
    problems = (*report.problems, *(_swallowed(report, plan) if _is_loose(plan) else ()))
    return dataclasses.replace(report, problems=problems, remarks=(*report.remarks, *remarks))


def inspect_files(directory: Path, plan: Plan) -> None:
    """Let the target look at every file that holds a graph, before a runtime opens one.

    Raises:
        UntrustedError: a file would run code of whoever made it, or reach outside the artifact.
    """
    target = find_target(plan.recording.target)
    for graph in plan.graphs:
        for file in graph.files:
            target.inspect(directory / file)


def _remarks(directory: Path, manifest: Mapping[str, Any], plan: Plan, asked: Asked) -> Iterator[str]:
    unknown = unknown_keys(manifest)
    if unknown:
        yield f"passed over in the manifest: {some(unknown)}"
    unnamed = unnamed_files(directory, manifest)
    if unnamed:
        yield f"not looked at, since the manifest does not name them: {some(unnamed)}"
    if asked.trust:
        yield "opened without looking for code in its files (--trust-artifact)"
    if _is_loose(plan):
        whose = "the artifact's own" if asked.atol is None and asked.rtol is None else "the one given"
        loosest = LOOSEST[_computed_dtype(plan)]
        yield (
            f"the bound, atol {plan.bound.atol:.1e} and rtol {plan.bound.rtol:.1e}, is {whose}, and looser than any of "
            f"exporter's for {_computed_dtype(plan)} ({loosest:.0e})"
        )


def _computed_dtype(plan: Plan) -> str:
    return find_target(plan.recording.target).computed_dtype(plan.recording.settings, plan.model.dtype)


def _is_loose(plan: Plan) -> bool:
    return max(plan.bound.atol, plan.bound.rtol) > LOOSEST[_computed_dtype(plan)]


def _swallowed(report: Report, plan: Plan) -> Iterator[str]:
    """Yield a line for each output that a loose bound lets be anything: zeros would pass for it at every point."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in report.comparisons:
        groups.setdefault((comparison.graph, comparison.output), []).append(comparison)
    for (graph, output), comparisons in groups.items():
        if all(_admits_zeros(comparison.magnitude, plan.bound) for comparison in comparisons):
            largest = max(comparison.magnitude for comparison in comparisons)
            yield (
                f"{graph}: within atol {plan.bound.atol:.1e} and rtol {plan.bound.rtol:.1e} zeros would pass for "
                f"'{output}', whose largest value is {largest:.2e}: nothing is proved"
            )


def _admits_zeros(magnitude: float, bound: Bound) -> bool:
    return bound.atol + bound.rtol * magnitude >= magnitude
