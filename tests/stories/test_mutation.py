"""Break one thing in a good spec: something must notice. This measures the whole tool.

Every mistake edits the text of the spec or of its family, at a place that the composed spec uses. The linter sees it
first, then the examination that ``lint --models`` makes of a reference, and a build only where both let it pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import SPECS

import exporter
from exporter.building.pool import run_builds
from exporter.building.request import plan_config
from exporter.building.requests import plan_builds
from exporter.errors import ExporterError
from exporter.language.catalog import list_specs
from exporter.language.linting import lint_paths
from exporter.language.loading import load_spec
from exporter.language.spec import Expression, GraphSpec, Spec, StaticDim, TaskSpec, TensorSpec
from exporter.language.text import Span
from exporter.models import examination
from exporter.planning.plan import GraphPlan, Plan

NAMES = [path.stem for path in list_specs()]
_LINE = re.compile(r"(?P<dtype>\w+)(?P<shape>\[[^\]]*\])(?P<fill>.*)", re.DOTALL)
_KEY = re.compile(r"config\.([A-Za-z_][A-Za-z0-9_]*)")
_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class Mistake:
    """One edit: of which kind, where, what stands there instead, and a task in which it shows."""

    kind: str
    span: Span
    replacement: str
    task: str

    def describe(self) -> str:
        return f"{self.kind} at {self.span.location()}: {self.span.text} → {self.replacement} (in {self.task})"


def first_of_each_family() -> list[str]:
    """Return a spec of each family. Read off the text: composing every spec is no work for the collection of tests."""
    first: dict[str, str] = {}
    for name in NAMES:
        extends = re.search(r"^extends: *(\S+)", (SPECS / f"{name}.yaml").read_text("utf-8"), re.MULTILINE)
        first.setdefault(extends[1] if extends is not None else "", name)
    return list(first.values())


FIRST = first_of_each_family()


def mistakes(spec: Spec) -> Iterator[Mistake]:
    """Yield every single mistake of the set that applies to a spec, each place once."""
    seen: set[tuple[str, str, int, str]] = set()
    for task in spec.tasks.values():
        if task.tracer.name in task.refused:
            continue
        plan = exporter.plan(spec, task.name)
        for kind, span, replacement in (*tensor_mistakes(task, plan), *dim_mistakes(spec, task, plan)):
            key = (kind, span.source.name, span.start, replacement)
            if key not in seen:
                seen.add(key)
                yield Mistake(kind, span, replacement, task.name)
        if task.name in task.span.text:
            yield Mistake("a renamed task", task.span, task.span.text.replace(task.name, f"{task.name}s"), task.name)


def used(graph: GraphSpec, planned: GraphPlan) -> Iterator[tuple[TensorSpec, bool]]:
    """Yield the tensors of a graph that are there for the reference's config, and whether each is an output."""
    names = {_LAYER.sub(".{layer}.", tensor.name) for tensor in (*planned.inputs, *planned.outputs)}
    for tensor in graph.inputs:
        if tensor.name in names:
            yield tensor, False
    for tensor in graph.outputs:
        if tensor.name in names:
            yield tensor, True


def tensor_mistakes(task: TaskSpec, plan: Plan) -> Iterator[tuple[str, Span, str]]:
    for graph, planned in zip(task.graphs, plan.graphs, strict=True):
        for tensor, is_output in used(graph, planned):
            match = _LINE.fullmatch(tensor.type_span.text)
            if match is None:
                continue
            dtype, fill = match["dtype"], match["fill"]
            axes = [axis.strip() for axis in match["shape"][1:-1].split(",")]
            for index in range(len(axes) - 1):
                if axes[index] != axes[index + 1]:
                    swapped = [*axes[:index], axes[index + 1], axes[index], *axes[index + 2 :]]
                    yield "swapped dims", tensor.type_span, f"{dtype}[{', '.join(swapped)}]{fill}"
            for index in range(len(axes)):
                kept = axes[:index] + axes[index + 1 :]
                yield "a dropped axis", tensor.type_span, f"{dtype}[{', '.join(kept)}]{fill}"
            other = "int64" if dtype.startswith("float") else "float"
            yield "a wrong dtype", tensor.type_span, f"{other}{match['shape']}{fill}"
            if is_output:
                yield from renamed("a wrong output name", tensor, tensor.field)
            else:
                yield from renamed("a wrong argument", tensor, tensor.argument)


def renamed(kind: str, tensor: TensorSpec, path: str) -> Iterator[tuple[str, Span, str]]:
    """Yield a wrong name for a tensor that the model knows by it.

    A tensor that says what it is in the model, with ``argument:`` or ``field:``, may have any name.
    """
    own = tensor.name if kind == "a wrong argument" else tensor.name.replace("present.", "past_key_values.")
    if own == path and tensor.span.text == tensor.name:
        yield kind, tensor.span, f"{tensor.name[:-1]}"


def dim_mistakes(spec: Spec, task: TaskSpec, plan: Plan) -> Iterator[tuple[str, Span, str]]:
    terms = [
        (term, is_output)
        for graph, planned in zip(task.graphs, plan.graphs, strict=True)
        for tensor, is_output in used(graph, planned)
        for axis in tensor.type_span.text.partition("[")[2].partition("]")[0].split(",")
        for term in re.findall(r"\w+", axis)
    ]
    shapes, outputs = {term for term, _ in terms}, {term for term, is_output in terms if is_output}
    repeated = any("{layer}" in tensor.name for graph in task.graphs for tensor in (*graph.inputs, *graph.outputs))
    for name, dim in spec.dims.items():
        if not isinstance(dim, StaticDim) or not isinstance(dim.value, Expression):
            continue
        if name not in shapes and not (name == "layers" and repeated):
            continue
        expression = dim.value
        kind = {"layers": "a wrong layer count", "head_dim": "a wrong head size"}.get(name, "a wrong size")
        # Many a model takes images of another size than its config says, so a size of inputs alone is no mistake.
        if kind != "a wrong size" or name in outputs:
            yield kind, expression.span, f"({expression.text}) + 1"
        if name == "layers":
            yield kind, expression.span, f"({expression.text}) - 1"
        for match in _KEY.finditer(expression.text):
            wrong = f"{expression.text[: match.end() - 1]}{expression.text[match.end() :]}"
            yield "a wrong config key", expression.span, wrong


class Judge:
    """Shows mistakes to the linter and to the examination, one after another."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.spec = load_spec(SPECS / f"{name}.yaml")
        self.sources = {"spec": SPECS / f"{name}.yaml", "family": SPECS / "families" / f"{self.spec.family}.yaml"}
        self.models: dict[str, Any] = {}
        self.count = 0
        self.usual = self.lint(self.write(None))

    def write(self, mistake: Mistake | None) -> Path:
        """Write the spec and its family with one mistake into a directory of their own; return the spec's path."""
        self.count += 1
        folder = self.folder / f"{self.name}-{self.count}" / "specs"
        (folder / "families").mkdir(parents=True)
        made = mistake is None
        for kind, path in self.sources.items():
            text = path.read_text("utf-8")
            if mistake is not None and mistake.span.source.text == text:
                made = True
                text = f"{text[: mistake.span.start]}{mistake.replacement}{text[mistake.span.end :]}"
            (folder / ("families" if kind == "family" else "") / path.name).write_text(text, "utf-8")
        assert made, f"the text of {mistake} has changed meanwhile"
        return folder / f"{self.name}.yaml"

    @staticmethod
    def lint(path: Path) -> set[tuple[str, str]]:
        return {(finding.rule, finding.message) for finding in lint_paths([str(path)]).diagnostics}

    def notice(self, mistake: Mistake) -> tuple[str | None, Path]:
        """Return what notices a mistake, if something does before a build, and where the broken spec is."""
        path = self.write(mistake)
        if self.lint(path) - self.usual:
            return "lint", path
        try:
            broken = load_spec(path)
        except ExporterError:
            return "lint", path
        # Models are made of configs, which no mistake touches, so that all examinations share them.
        examiner = examination._Examiner(broken, plan_config)
        examiner.models = self.models
        return ("examination" if list(examiner.examine(broken.tasks[mistake.task])) else None), path


def judge_spec(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge(name, folder)
    noticed: dict[str, int] = {}
    kinds: dict[str, int] = {}
    unnoticed: list[tuple[Mistake, Path]] = []
    for mistake in mistakes(judge.spec):
        kinds[mistake.kind] = kinds.get(mistake.kind, 0) + 1
        by, path = judge.notice(mistake)
        if by is not None:
            noticed[by] = noticed.get(by, 0) + 1
        else:
            unnoticed.append((mistake, path))
    survivors = list(build_all(unnoticed, folder))
    noticed["build"] = len(unnoticed) - len(survivors)
    total = sum(kinds.values())
    with capsys.disabled():
        by_whom = ", ".join(f"{count} by {who}" for who, count in noticed.items() if count)
        print(f"\n{name}: {total - len(survivors)}/{total} mistakes caught ({by_whom})", flush=True)
    assert {"a renamed task", "swapped dims", "a dropped axis", "a wrong dtype", "a wrong argument"} <= set(kinds)
    assert not survivors, "\n".join(survivors)


def build_all(unnoticed: list[tuple[Mistake, Path]], folder: Path) -> Iterator[str]:
    """Build the specs whose mistake nobody noticed so far, and yield the mistakes that pass even that."""
    builds = [
        build
        for number, (mistake, path) in enumerate(unnoticed)
        for build in plan_builds([str(path)], {"tasks": (mistake.task,), "output": folder / f"out-{number}"})
    ]
    for (mistake, _), outcome in zip(unnoticed, run_builds(builds) if builds else (), strict=True):
        if outcome.error is None:
            yield mistake.describe()


@pytest.mark.parametrize("name", FIRST, ids=lambda name: f"{name}/mistakes")
def test_a_mistake_in_a_spec_is_caught(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    judge_spec(name, tmp_path, capsys)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in NAMES if name not in FIRST])
def test_a_mistake_in_any_spec_is_caught(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    judge_spec(name, tmp_path, capsys)
