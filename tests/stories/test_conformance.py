"""Tasks of every spec, discovered from the files: built from their references, verified, and run by a plain runtime.

A default run builds every task of one spec of each family and one task of every other spec, another one each day. The
other tracer is for one spec of each family, and so are, one day or the other, both ends of the opset range and both
half precisions. ``pytest -m exhaustive`` does all of it for every pair.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import exporter
from exporter.artifacts.golden import read_golden
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.spec import DTYPES, TRACERS, WITH_PAST, Spec, TaskSpec
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.onnx import OPSETS

SPECS = {path.stem: load_spec(path) for path in list_specs()}
# The day of the year; conftest.py prints how to have another one.
DAY = int(os.environ["CONFORMANCE_DAY"])


def one_of_each_family() -> list[str]:
    first: dict[str, str] = {}
    for name, spec in SPECS.items():
        first.setdefault(spec.family, name)
    return list(first.values())


def pairs(is_meant: Callable[[TaskSpec], bool] = lambda task: True) -> list[Any]:
    """Return an architecture and a task each; conftest.py keeps the tasks of one architecture in one process."""
    return [
        pytest.param(name, task, id=f"{name}/{task}") for name in SPECS for task in meant_tasks(SPECS[name], is_meant)
    ]


def meant_tasks(spec: Spec, is_meant: Callable[[TaskSpec], bool]) -> list[str]:
    return [task.name for task in spec.tasks.values() if is_meant(task)]


def pairs_of_the_day(is_meant: Callable[[TaskSpec], bool] = lambda task: True) -> list[Any]:
    """Return what `pairs` does, with what is not of the day marked ``exhaustive``.

    Of the day is every task of the first spec of each family, and the next task of each other spec.
    """
    whole = one_of_each_family()
    marked = []
    for name, spec in SPECS.items():
        tasks = meant_tasks(spec, is_meant)
        for number, task in enumerate(tasks):
            is_due = name in whole or number == DAY % len(tasks)
            marks = () if is_due else (pytest.mark.exhaustive,)
            marked.append(pytest.param(name, task, id=f"{name}/{task}", marks=marks))
    return marked


def families_in_turn(choices: Sequence[Any]) -> list[Any]:
    """Return the first spec of each family with the choice whose day it is, and with the others as ``exhaustive``."""
    return [
        pytest.param(
            name, choice, marks=() if (DAY + index + number) % len(choices) == 0 else (pytest.mark.exhaustive,)
        )
        for index, name in enumerate(one_of_each_family())
        for number, choice in enumerate(choices)
    ]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, build_one: Callable[[Build], Outcome]):
    """Build one task of a spec, once, with the spec's own choices."""

    @lru_cache
    def built(architecture: str, task: str, **options: Any) -> Outcome:
        output = tmp_path_factory.mktemp(architecture) / "artifact"
        (build,) = plan_builds([architecture], {"tasks": (task,), "output": output, **options})
        return build_one(build)

    return built


def assert_refused(architecture: str, task: str, **options: Any) -> None:
    """Check that what a spec says cannot be had is refused before any work, with the spec's reason."""
    spec = SPECS[architecture].tasks[task]
    reasons = (*spec.refused.values(), *(refusal.because for refusal in spec.refused_when.values()))
    with pytest.raises(UsageError) as refusal:
        exporter.plan(architecture, task, **options)
    assert any(reason in refusal.value.message for reason in reasons) or "needs" in refusal.value.message


@pytest.mark.parametrize(("architecture", "task"), pairs_of_the_day())
def test_the_reference_builds_and_verifies(architecture: str, task: str, built):
    spec = SPECS[architecture].tasks[task]
    if spec.tracer.name in spec.refused:
        assert_refused(architecture, task)
        return
    outcome = built(architecture, task)
    assert outcome.error is None, outcome.error.message
    check_outcome(outcome)


@pytest.mark.parametrize(("architecture", "task"), pairs_of_the_day(lambda task: task.monolith is not None))
def test_the_single_graph_builds_and_verifies(architecture: str, task: str, built):
    outcome = built(architecture, task, monolith=True)
    assert outcome.error is None, outcome.error.message
    assert [graph.file for graph in outcome.plan.graphs] == ["model.onnx"]
    check_outcome(outcome)


@pytest.mark.parametrize(("architecture", "task"), pairs_of_the_day(lambda task: bool(task.merged)))
def test_the_merged_form_builds_and_verifies(architecture: str, task: str, built):
    outcome = built(architecture, task, merged=True)
    assert outcome.error is None, outcome.error.message
    assert [graph.file for graph in outcome.plan.graphs] == ["encoder_model.onnx", "decoder_model_merged.onnx"]
    check_outcome(outcome)


def check_outcome(outcome: Outcome) -> None:
    plan, report = outcome.plan, outcome.report
    assert plan is not None
    assert report is not None
    compared = {
        (comparison.graph, comparison.output, comparison.point, comparison.seed) for comparison in report.comparisons
    }
    for graph in plan.graphs:
        for tensor in graph.outputs:
            for point in plan.sizes.points:
                for seed in (plan.sizes.seed, plan.sizes.seed + 1):
                    assert (graph.component, tensor.name, point.name, seed) in compared
        check_in_plain_runtime(outcome.build.output, graph, plan)


def check_in_plain_runtime(directory: Path, graph: GraphPlan, plan: Plan) -> None:
    """Hold a file against the plan with nothing but onnx and onnxruntime."""
    path = directory / graph.file
    proto = onnx.load(str(path))
    assert {entry.domain: entry.version for entry in proto.opset_import} == {"": plan.recording.opset}
    session = onnxruntime.InferenceSession(str(path))
    assert [(value.name, tuple(value.shape)) for value in session.get_inputs()] == [
        (tensor.name, tensor.shape) for tensor in graph.inputs
    ]
    assert [(value.name, tuple(value.shape)) for value in session.get_outputs()] == [
        (tensor.name, tensor.shape) for tensor in graph.outputs
    ]
    for index, point in enumerate(plan.sizes.points):
        inputs, expected = read_golden(directory, index, graph)
        for tensor, actual, reference in zip(graph.outputs, session.run(None, inputs), expected, strict=True):
            assert actual.shape == tensor.sizes_at(point.sizes)
            np.testing.assert_allclose(actual, reference, atol=plan.bound.atol, rtol=plan.bound.rtol)


def most_demanding(architecture: str) -> str:
    """Return the task with the most graphs: one with past where there is one."""
    tasks = SPECS[architecture].tasks
    return max(tasks, key=lambda name: (name.endswith(WITH_PAST), len(tasks[name].graphs), name))


def assert_builds(architecture: str, task: str, output: Path, **options: Any) -> None:
    """Build one task, or see it refused with the reason."""
    try:
        exporter.plan(architecture, task, **options)
    except UsageError:
        assert_refused(architecture, task, **options)
        return
    (result,) = exporter.build(architecture, task=task, output=output / "artifact", **options)
    assert result.report is not None
    assert result.report.passed
    of_plan = {**result.plan.to_data()["recording"], "dtype": result.plan.model.dtype}
    assert {name: of_plan[name] for name in options} == options


@pytest.mark.parametrize("architecture", one_of_each_family())
def test_the_dynamo_tracer(architecture: str, tmp_path: Path):
    assert_builds(architecture, most_demanding(architecture), tmp_path, tracer="dynamo")


@pytest.mark.parametrize(("architecture", "end"), families_in_turn((min, max)))
def test_the_ends_of_the_opset_range(architecture: str, end: Any, tmp_path: Path):
    opset = end(OPSETS["torchscript"])
    assert_builds(architecture, most_demanding(architecture), tmp_path, tracer="torchscript", opset=opset)


@pytest.mark.parametrize(("architecture", "dtype"), families_in_turn(("float16", "bfloat16")))
def test_half_precision(architecture: str, dtype: str, tmp_path: Path):
    assert_builds(architecture, most_demanding(architecture), tmp_path, dtype=dtype)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("architecture", "task"), pairs())
class TestEveryPair:
    @pytest.mark.parametrize("tracer", TRACERS)
    def test_tracer(self, architecture: str, task: str, tracer: str, tmp_path: Path):
        assert_builds(architecture, task, tmp_path, tracer=tracer)

    @pytest.mark.parametrize("opset", [13, 17, 20])
    def test_opset(self, architecture: str, task: str, opset: int, tmp_path: Path):
        assert_builds(architecture, task, tmp_path, opset=opset)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_dtype(self, architecture: str, task: str, dtype: str, tmp_path: Path):
        assert_builds(architecture, task, tmp_path, dtype=dtype)
