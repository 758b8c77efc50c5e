"""The Python API: the command line's pipeline as functions.

>>> import exporter
>>> results = exporter.build("specs/my-model.yaml", task="fill-mask", output="out")     # doctest: +SKIP
>>> exporter.verify("out").passed                                        # doctest: +SKIP
True
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import artifact
from exporter.diagnostics import ExporterError
from exporter.linting import LintResult, lint_paths
from exporter.loading import load_spec
from exporter.planning import Options, Plan, find_task, plan_task
from exporter.spec import Spec, overlay_config
from exporter.targets import DEFAULT_TARGET
from exporter.verification import Report

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One artifact that was built: where it is, what it is, and what verification measured (None without)."""

    directory: Path
    plan: Plan
    report: Report | None
    files: Mapping[str, int]


def plan(
    spec: Spec | str | Path, task: str, *, config: Any = None, model: str | Path | None = None, **options: Any
) -> Plan:
    """Spell out one task of an architecture for a config.

    Args:
        spec: a composed spec, the path of one, or an architecture.
        task: a task or a retired feature name.
        config: a transformers config, or a mapping of config values laid over the reference's. Default: the reference's.
        model: a checkpoint directory or hub id whose config is used instead.
        options: fields of `exporter.planning.Options`, such as ``opset=17`` or ``dtype="float16"``.

    Raises:
        UsageError: the task, opset, dtype or tracer cannot be had.
        SpecError: an expression of the spec does not hold for the config.
        CheckpointError: the config cannot be loaded.
    """
    from exporter import models
    from exporter.checkpoints import open_checkpoint

    wanted = Options(**options)
    composed = (spec if isinstance(spec, Spec) else load_spec(spec)).with_variant(wanted.variant)
    chosen = find_task(composed, task)
    if model is not None:
        config = models.load_config(open_checkpoint(str(model)), chosen.config)
    elif config is None or isinstance(config, Mapping):
        values = overlay_config(composed.reference, chosen.reference_config, config or {}, chosen.config)
        config = models.make_config(composed.architecture, values)
    return plan_task(composed, chosen, config, wanted, rtol_of="element" if model is None else "output")


def build(
    *specs: str | Path,
    model: str | Path | None = None,
    task: str | Iterable[str] | None = None,
    output: str | Path | None = None,
    revision: str | None = None,
    framework: str | None = None,
    cache_dir: str | None = None,
    trust_remote_code: bool = False,
    verify: bool = True,
    jobs: int = 1,
    target: str | Iterable[str] = DEFAULT_TARGET,
    progress: Progress = lambda _: None,
    **options: Any,
) -> list[BuildResult]:
    """Build, verify and write artifacts.

    Args:
        specs: specs, architectures, directories of specs or build files. None with a ``model``: its own architecture's.
        model: a checkpoint directory or hub id. Without it the spec's reference is built.
        task: tasks or retired feature names. Default: all of a reference, the checkpoint's own otherwise.
        output: where to write; with one task the artifact itself, with several a directory of them.
        revision: the branch, tag or commit of a hub id.
        framework: whose weights to take where a checkpoint holds several: ``pt``, ``tf`` or ``flax``.
        cache_dir: where downloads of a hub id are kept. Default: the cache of Hugging Face's libraries.
        trust_remote_code: let the checkpoint run Python of its own.
        verify: compare with PyTorch, and fail where the graph differs.
        jobs: how many builds run at once, each in a process of its own.
        target: what to build: ``onnx``, ``torchscript``, ``neuron`` or ``torch-export``; several are several artifacts.
        progress: told what is being done.
        options: fields of `exporter.planning.Options`: ``dims``, ``static``, ``settings``, ``opset``, ``dtype``, ``tracer``, ``atol``,
            ``rtol``, ``weights``, ``monolith``, ``merged``, ``layout``, ``variant``.

    Raises:
        ExporterError: the first build that failed; earlier artifacts stay.
    """
    from exporter.building.requests import Wanted, plan_builds
    from exporter.building.run import run_builds

    tasks = (task,) if isinstance(task, str) else tuple(task or ())
    wanted = Wanted(
        spec=None, model=str(model) if model is not None else None, tasks=tasks,
        targets=(target,) if isinstance(target, str) else tuple(target),
        output=Path(output) if output is not None else None, revision=revision, framework=framework, cache_dir=cache_dir,
        trust_remote_code=trust_remote_code, options=Options(**options), verify=verify,
    )  # fmt: skip
    results: list[BuildResult] = []
    for outcome in run_builds(plan_builds(map(str, specs), wanted), lambda _, text: progress(text), jobs):
        if outcome.error is not None:
            raise outcome.error
        if outcome.plan is not None:
            results.append(BuildResult(outcome.build.output, outcome.plan, outcome.report, outcome.files))
    return results


def verify(
    directory: str | Path,
    *,
    model: str | Path | None = None,
    framework: str | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    trust_remote_code: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Verify an artifact again: on its golden vectors, or beside its checkpoint with new inputs.

    Args:
        directory: an artifact that `build` wrote.
        model: the checkpoint it was built from. Without it no torch is needed.
        framework: whose weights to take where the checkpoint holds several.
        atol: another absolute tolerance than the manifest's.
        rtol: another relative tolerance than the manifest's.
        trust_remote_code: let the checkpoint run Python of its own.
        progress: told what is being done.

    Raises:
        UsageError: the directory is no artifact.
        CheckpointError: the model is not the one the artifact was built from, or cannot be loaded.
    """
    path = Path(directory)
    plan = artifact.read_plan(path)
    plan = dataclasses.replace(plan, atol=plan.atol if atol is None else atol, rtol=plan.rtol if rtol is None else rtol)
    changed = list(artifact.changed_files(path, artifact.read_manifest(path)))
    if changed:
        return Report("", plan.atol, plan.rtol, (), tuple(changed))
    if model is None:
        from exporter.golden import verify_golden

        return verify_golden(path, plan, progress)
    from exporter.building.beside import verify_beside

    return verify_beside(
        path, plan, str(model), framework=framework, trust_remote_code=trust_remote_code, progress=progress
    )


def lint(
    *paths: str | Path, models: bool = False, select: Iterable[str] = (), ignore: Iterable[str] = ()
) -> LintResult:
    """Lint specs, families and build files and return all findings; content never raises.

    Args:
        paths: files and directories.
        models: also check against transformers, by building each reference.
        select: rules to run instead of all.
        ignore: rules to leave out.

    Raises:
        UsageError: a path or rule does not exist.
    """
    return lint_paths(list(map(str, paths)), models=models, select=tuple(select), ignore=tuple(ignore))


class ExportConfig:
    """What the boundary of one graph looks like for a config: the object earlier systems had a class per model for.

    Args:
        architecture: an architecture, or the path of a spec.
        config: a transformers config or a mapping of values; default the reference's.
        task: a task or a retired feature name.
        component: which graph of a task with several; default the first.
        options: fields of `exporter.planning.Options`.
    """

    def __init__(
        self,
        architecture: str,
        config: Any = None,
        task: str = "feature-extraction",
        *,
        component: str | None = None,
        **options: Any,
    ) -> None:
        self.plan = plan(architecture, task, config=config, **options)
        graphs = {graph.component: graph for graph in self.plan.graphs}
        if component is not None and component not in graphs:
            raise ExporterError(f"no component '{component}'", help=f"the components are {', '.join(graphs)}")
        self.graph = graphs[component] if component is not None else self.plan.graphs[0]

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        """The inputs in order, each with its symbolic dims by axis."""
        return {tensor.name: tensor.dynamic_axes() for tensor in self.graph.inputs}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """The outputs in order, each with its symbolic dims by axis."""
        return {tensor.name: tensor.dynamic_axes() for tensor in self.graph.outputs}

    @property
    def opset(self) -> int | None:
        """The ONNX opset a build uses; None for a target that has none."""
        return self.plan.opset

    @property
    def atol(self) -> float:
        """The absolute part of the bound a build is verified with, in the units of the outputs."""
        return self.plan.atol

    def dummy_inputs(self, point: str = "trace", seed: int = 0) -> dict[str, Any]:
        """Return numpy arrays for every input at the sizes of a point: ``trace``, ``check 1``, …"""
        from exporter.dummies import make_dummies

        chosen = next((one for one in self.plan.points if one.name == point), None)
        if chosen is None:
            raise ExporterError(
                f"no point '{point}'", help=f"the points are {', '.join(one.name for one in self.plan.points)}"
            )
        return make_dummies(self.graph, chosen, seed)

    def __repr__(self) -> str:
        return f"ExportConfig({self.plan.architecture!r}, task={self.plan.task!r}, inputs={list(self.inputs)}, outputs={list(self.outputs)})"
