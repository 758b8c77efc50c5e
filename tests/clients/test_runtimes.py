"""Runtimes other than ONNX Runtime take the graphs as they are, and give what an artifact's golden vectors hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from clients.conftest import TRAINED, Artifact
from clients.environments import Array, Installer, run_on_arrays
from exporter.artifacts.golden import read_golden
from exporter.artifacts.manifest import read_plan
from exporter.planning.plan import GraphPlan, Plan, Point, TensorPlan
from exporter.verification.comparison import compare_arrays
from exporter.verification.report import Comparison, Report

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

OPENVINO = ("openvino==2026.4.1",)
TRACT = ("tract==0.23.9", "numpy")
KINDS = ["sentences", "moods", "parts", "stories", "essays", "translations", "things", "scenes", "recordings", TRAINED]


@dataclass(frozen=True)
class Run:
    """A graph at a point, with its golden vectors."""

    graph: GraphPlan
    point: Point
    inputs: Mapping[str, Array]
    outputs: list[Array]


def golden_runs(directory: Path, plan: Plan) -> list[Run]:
    return [
        Run(graph, point, *read_golden(directory, index, graph))
        for graph in plan.graphs
        for index, point in enumerate(plan.sizes.points)
    ]


def unmeasured(run: Run, tensor: TensorPlan, plan: Plan) -> Comparison:
    """Return the comparison of one output of a run, before anything is measured."""
    sizes = dict(run.point.sizes)
    shape = tensor.sizes_at(sizes)
    return Comparison(run.graph.component, tensor.name, run.point.name, sizes, plan.sizes.seed, shape)


def assert_close(runtime: str, directory: Path, answers: list[Mapping[str, Array]]) -> None:
    """Hold answers against the golden vectors, with the bounds that the exporter verified the artifact by."""
    plan = read_plan(directory)
    comparisons = tuple(
        compare_arrays(answer[tensor.name], expected, tensor, unmeasured(run, tensor, plan), plan.bound)
        for run, answer in zip(golden_runs(directory, plan), answers, strict=True)
        for tensor, expected in zip(run.graph.outputs, run.outputs, strict=True)
    )
    report = Report(runtime, plan.bound.atol, plan.bound.rtol, comparisons, ())
    assert report.passed, "\n".join(report.failures())
    worst = max(comparisons, key=lambda comparison: comparison.max_abs)
    print(f"{runtime}: {len(comparisons)} comparisons, largest difference {worst.max_abs:.1e}")


def run_elsewhere(python: Path, program: str, directory: Path, folder: Path) -> list[Mapping[str, Array]]:
    """Run the graphs of an artifact on their golden inputs in another environment."""
    runs = golden_runs(directory, read_plan(directory))
    arrays = {f"{number}/{name}": array for number, run in enumerate(runs) for name, array in run.inputs.items()}
    request = {
        "runs": [
            {"file": directory / run.graph.file, "outputs": [tensor.name for tensor in run.graph.outputs]}
            for run in runs
        ]
    }
    answered = run_on_arrays(python, program, request, arrays, folder / "answers")
    return [
        {tensor.name: answered[f"{number}/{tensor.name}"] for tensor in run.graph.outputs}
        for number, run in enumerate(runs)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_openvino(kind: str, artifact: Artifact, installer: Installer, tmp_path: Path) -> None:
    python = installer.python("openvino", *OPENVINO)
    assert_close("OpenVINO", artifact(kind), run_elsewhere(python, "openvino_runtime.py", artifact(kind), tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_tract(kind: str, artifact: Artifact, installer: Installer, tmp_path: Path) -> None:
    python = installer.python("tract", *TRACT)
    assert_close("tract", artifact(kind), run_elsewhere(python, "tract_runtime.py", artifact(kind), tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_evaluator(kind: str, artifact: Artifact) -> None:
    runs = golden_runs(artifact(kind), read_plan(artifact(kind)))
    answers = []
    for run in runs:
        evaluator = ReferenceEvaluator(str(artifact(kind) / run.graph.file))
        # It computes both sides of a choice, logarithms of zero in it, and NumPy warns of the side not taken.
        with np.errstate(divide="ignore", invalid="ignore"):
            outputs = evaluator.run(None, dict(run.inputs))
        answers.append(dict(zip(evaluator.output_names, map(np.asarray, outputs), strict=True)))
    assert_close("the reference evaluator", artifact(kind), answers)
