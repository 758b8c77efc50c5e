"""Verify an artifact: its structure against the plan, its numbers against the model's.

Builds, ``exporter verify``, ``verify --model`` and `exporter.onnx` all come here; they differ in what is `Expected`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import first_line
from exporter.planning.dependence import CLEARLY, Observed, find_independent
from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.target import Session
from exporter.planning.words import sizes_text
from exporter.steps import Progress, Steps
from exporter.targets.registry import find_target
from exporter.verification.comparison import Sample, compare_outputs, feeble_outputs
from exporter.verification.expected import Expected
from exporter.verification.probing import probe_dims, probed_dims
from exporter.verification.report import Comparison, Report


def verify_artifact(directory: Path, plan: Plan, expected: Expected, progress: Progress = lambda _: None) -> Report:
    """Compare every graph of an artifact with its model.

    Args:
        directory: where the files of the plan are.
        plan: what was built.
        expected: what the model gives.
        progress: told what is being done, as an `exporter.steps.Step` that counts what is compared.

    Raises:
        UsageError: the plan's target is none of ours, or a golden vector is missing or damaged.
        ExportError: a runtime refuses a file.
    """
    target = find_target(plan.recording.target)
    comparisons: list[Comparison] = []
    problems: list[str] = []
    unproved: list[str] = []
    open_dims: dict[str, dict[str, str]] = {}
    runtimes: list[str] = []
    steps = Steps(progress, sum(_count(directory, graph, plan, expected) for graph in plan.graphs))
    for graph in plan.graphs:
        problems += target.check_structure(directory, graph, plan)
        if target.probed and expected.is_live:
            session = target.open_session(directory / graph.file, plan)
            open_dims[graph.component], baked_in = probe_dims(session, graph, plan, expected, steps.begin)
            problems += baked_in
            del session
        for session, sample in _runs(directory, graph, plan, expected):
            if session.name not in runtimes:
                runtimes.append(session.name)
            steps.begin(f"verifying {graph.component} at {sizes_text(sample.point.sizes, 'its one size')}")
            measured = list(compare_outputs(session, graph, sample, plan.bound))
            if not any(comparison.graph == graph.component for comparison in comparisons):
                steps.begin(f"changing each input of {graph.component}")
                if _is_good(measured):
                    unproved += _find_unproved(session, graph, plan, sample)
            comparisons += measured
    problems += _uncompared(plan, comparisons)
    if plan.model.is_reference:
        # A trained model's outputs are what they are; a reference is ours to make expressive.
        computed = target.computed_dtype(plan.recording.settings, plan.model.dtype)
        problems += feeble_outputs(comparisons, plan.bound.atol, computed)
        if computed == "float32":
            problems, unproved = [*problems, *unproved], []
    return Report(
        ", ".join(runtimes),
        plan.bound.atol,
        plan.bound.rtol,
        tuple(comparisons),
        tuple(problems),
        open_dims,
        tuple(unproved),
    )


def _is_good(comparisons: list[Comparison]) -> bool:
    return all(comparison.passed for comparison in comparisons)


def _find_unproved(session: Session, graph: GraphPlan, plan: Plan, sample: Sample) -> list[str]:
    """Return what the outputs of a graph do not depend on, seen from inputs whose outputs are as expected."""
    target = find_target(plan.recording.target)
    clearly = CLEARLY[target.computed_dtype(plan.recording.settings, plan.model.dtype)]
    observed = Observed(sample.point, sample.inputs, sample.expected)
    try:
        return find_independent(session.run, graph, observed, plan.bound, clearly)
    except Exception as error:
        # Each runtime fails in its own way, whatever the type.
        return [f"{graph.component}: the runtime fails where one input changes: {first_line(error)}"]


def _uncompared(plan: Plan, comparisons: list[Comparison]) -> Iterator[str]:
    """Yield a line for each planned output of which no element was compared, where other outputs were."""
    if not comparisons:
        return
    seen = {
        (comparison.graph, comparison.output)
        for comparison in comparisons
        if comparison.problem is not None or 0 not in comparison.shape
    }
    for graph in plan.graphs:
        for tensor in graph.outputs:
            if (graph.component, tensor.name) not in seen:
                yield f"{graph.component}: nothing of '{tensor.name}' was compared"


def _count(directory: Path, graph: GraphPlan, plan: Plan, expected: Expected) -> int:
    """Return how many parts the verification of a graph has: dims that are probed, runs, and its changed inputs."""
    target = find_target(plan.recording.target)
    probes = len(probed_dims(graph, plan)) if target.probed and expected.is_live else 0
    samples = expected.count(plan.sizes)
    shipped = 0
    with contextlib.suppress(OSError):  # a file that is not there is told of where it is opened
        shipped = sum(target.has_shipped_form(directory / file, plan) for file in graph.files)
    return probes + len(graph.files) * samples + shipped + 1


def _runs(directory: Path, graph: GraphPlan, plan: Plan, expected: Expected) -> Iterator[tuple[Session, Sample]]:
    """Yield every run of a graph: each of its files at each sample.

    The session maps weights where the runtime can. Where users get another session, which holds a private copy of every
    weight, that session repeats the traced sizes.
    """
    target = find_target(plan.recording.target)
    for file in graph.files:
        path = directory / file
        session = target.open_session(path, plan)
        traced: Sample | None = None
        for sample in expected.samples(graph, plan.sizes):
            traced = traced or sample
            yield session, sample
        del session
        if traced is not None and target.has_shipped_form(path, plan):
            yield target.open_session(path, plan, shipped=True), traced
