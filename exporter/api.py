"""The Python API: the command line's pipeline as functions. Both call the engine through here and nowhere else.

>>> import exporter
>>> results = exporter.build("specs/my-model.yaml", task="fill-mask", output="out")     # doctest: +SKIP
>>> exporter.verify("out").passed                                        # doctest: +SKIP
True
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifacts.manifest import changed_files, read_manifest, read_plan
from exporter.building.request import Given, choose_task, plan_config
from exporter.building.requests import Build, check_places
from exporter.building.requests import plan_builds as plan_builds  # for the command line
from exporter.errors import ExporterError
from exporter.language.linting import LintResult, lint_paths
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, overlay_config
from exporter.models.checkpoints import Source
from exporter.planning.options import DEFAULT_TARGET, Options
from exporter.planning.plan import Axis, Plan
from exporter.planning.planner import find_task, plan_task
from exporter.verification.report import Report

if TYPE_CHECKING:
    from exporter.building.measuring import Measurement
    from exporter.building.pool import OnStage, Outcome

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One artifact that was built: where it is, what it is, and what verification measured (None without)."""

    directory: Path
    plan: Plan
    report: Report | None
    files: Mapping[str, int]


def plan(
    spec: Spec | str | Path,
    task: str,
    *,
    config: Any = None,
    model: str | Path | None = None,
    target: str = DEFAULT_TARGET,
    revision: str | None = None,
    framework: str | None = None,
    cache_dir: str | None = None,
    trust_remote_code: bool | None = None,
    **options: Any,
) -> Plan:
    """Spell out one task of an architecture for a config, as a build would.

    Args:
        spec: a composed spec, the path of one, or an architecture.
        task: a task or a retired feature name.
        config: a transformers config, or a mapping of config values laid over the reference's. Default: the reference's.
        model: a checkpoint directory or hub id whose config is used instead.
        target: what would be built.
        revision: the branch, tag or commit of a hub id.
        framework: whose weights a build would take where a checkpoint holds several: ``pt``, ``tf`` or ``flax``.
        cache_dir: where downloads of a hub id are kept.
        trust_remote_code: let the checkpoint run Python of its own.
        options: fields of `exporter.planning.options.Options`, such as ``opset=17`` or ``dtype="float16"``.

    Raises:
        UsageError: the task, opset, dtype or tracer cannot be had, or the checkpoint is of another architecture.
        SpecError: an expression of the spec does not hold for the config.
        CheckpointError: the config cannot be loaded.
    """
    from exporter.models.configs import make_config

    given = given_options(
        model=str(model) if model is not None else None, tasks=(task,), targets=(target,), revision=revision,
        framework=framework, cache_dir=cache_dir, trust_remote_code=trust_remote_code, **options,
    )  # fmt: skip
    if config is None and not isinstance(spec, Spec):
        (only,) = plan_requests([str(spec)], given)
        return only
    asked = Options(**options)
    composed = (spec if isinstance(spec, Spec) else load_spec(spec)).with_variant(asked.variant)
    chosen = find_task(composed, task)
    choice = choose_task(composed, chosen, asked, target)
    if model is not None:
        from exporter.models.checkpoints import check_architecture, open_checkpoint
        from exporter.models.configs import load_config

        checkpoint = open_checkpoint(
            Source(str(model), revision, framework, cache_dir, trust_remote_code=bool(trust_remote_code))
        )
        check_architecture(checkpoint, composed.architecture)
        return plan_task(choice, load_config(checkpoint, chosen.config), is_reference=False)
    if config is None or isinstance(config, Mapping):
        values = overlay_config(composed.reference, chosen.reference_config, config or {}, chosen.config)
        config = make_config(composed.architecture, values)
    return plan_task(choice, config)


def given_options(**options: Any) -> dict[str, Any]:
    """Return what was given among options, where None and nothing at all mean that nobody asked for it."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def plan_requests(names: Iterable[str], given: Given) -> list[Plan]:
    """Return the plans of the builds that `run_requests` would run for the same arguments.

    Raises:
        UsageError, SpecError, CheckpointError: as a build would raise.
    """
    from exporter.building.preparing import prepare

    return [prepare(build.request).plan for build in plan_builds(names, given)]


def run_requests(builds: list[Build], on_stage: OnStage = lambda build, text: None, jobs: int = 1) -> Iterator[Outcome]:
    """Run builds and yield how each ended; one that fails does not stop the others.

    Raises:
        UsageError: a place cannot be written, or holds something that would be lost.
    """
    from exporter.building.pool import run_builds

    check_places(builds)
    return run_builds(builds, on_stage, min(jobs, max(len(builds), 1)))


def build(
    *specs: str | Path,
    model: str | Path | None = None,
    task: str | Iterable[str] | None = None,
    output: str | Path | None = None,
    revision: str | None = None,
    framework: str | None = None,
    cache_dir: str | None = None,
    trust_remote_code: bool | None = None,
    verify: bool | None = None,
    jobs: int = 1,
    target: str | Iterable[str] | None = None,
    progress: Progress = lambda _: None,
    **options: Any,
) -> list[BuildResult]:
    """Build, verify and write artifacts.

    What is given holds for every entry of a build file too; what is None is the entry's, or the default.

    Args:
        specs: specs, architectures, directories of specs or build files. None with a ``model``: its own architecture's.
        model: a checkpoint directory or hub id. Without it the spec's reference is built.
        task: tasks or retired feature names. Default: all of a reference, the checkpoint's own otherwise.
        output: where to write; with one task the artifact itself, with several a directory of them.
        revision: the branch, tag or commit of a hub id.
        framework: whose weights to take where a checkpoint holds several: ``pt``, ``tf`` or ``flax``.
        cache_dir: where downloads of a hub id are kept. Default: the cache of Hugging Face's libraries.
        trust_remote_code: let the checkpoint run Python of its own. Default: False.
        verify: compare with PyTorch, and fail where the graph differs. Default: True.
        jobs: how many builds run at once, each in a process of its own.
        target: what to build, by name (``exporter.targets.registry.TARGETS``); several are several artifacts. Default: ``onnx``.
        progress: told what is being done.
        options: fields of `exporter.planning.options.Options`, such as ``opset``, ``dtype``, ``dims`` or ``settings``.

    Raises:
        ExporterError: the first build that failed, with the type and fields it was raised with; earlier artifacts stay.
    """
    given = given_options(
        model=str(model) if model is not None else None, tasks=_tuple(task), targets=_tuple(target),
        output=Path(output) if output is not None else None, revision=revision, framework=framework, cache_dir=cache_dir,
        trust_remote_code=trust_remote_code, verify=verify, **options,
    )  # fmt: skip
    results: list[BuildResult] = []
    for outcome in run_requests(plan_builds(map(str, specs), given), lambda _, text: progress(text), jobs):
        if outcome.error is not None:
            raise outcome.error
        if outcome.plan is not None:
            results.append(BuildResult(outcome.build.output, outcome.plan, outcome.report, outcome.files))
    return results


def _tuple(words: str | Iterable[str] | None) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words or ())


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
    from exporter.verification.expected import GoldenVectors
    from exporter.verification.verify import verify_artifact

    path = Path(directory)
    plan = read_plan(path)
    bound = dataclasses.replace(
        plan.bound,
        atol=plan.bound.atol if atol is None else atol,
        rtol=plan.bound.rtol if rtol is None else rtol,
    )
    plan = dataclasses.replace(plan, bound=bound)
    changed = tuple(changed_files(path, read_manifest(path)))
    if changed:
        return Report("", bound.atol, bound.rtol, (), changed)
    if model is None:
        return verify_artifact(path, plan, GoldenVectors(path), progress)
    from exporter.verification.beside import verify_beside

    source = Source(str(model), framework=framework, trust_remote_code=trust_remote_code)
    return verify_beside(path, plan, source, progress)


def measure(names: Iterable[str], given: Given, on_stage: OnStage = lambda build, text: None) -> Iterator[Measurement]:
    """Build references into a place of no consequence and yield what verification measures.

    Args:
        names: specs, architectures or directories of specs.
        given: tasks and options, as for a build.
        on_stage: told what is being done.
    """
    from exporter.building.measuring import measure as measure_builds

    return measure_builds(names, given, on_stage)


def lint(
    *paths: str | Path,
    models: bool = False,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    progress: Progress = lambda _: None,
) -> LintResult:
    """Lint specs, families and build files and return all findings; content never raises.

    Args:
        paths: files and directories.
        models: also check against transformers, by building each reference.
        select: rules to run instead of all.
        ignore: rules to leave out.
        progress: told which reference is being built.

    Raises:
        UsageError: a path or rule does not exist.
    """
    examine = None
    if models:
        from exporter.models.examination import examine_spec

        examine = partial(examine_spec, planner=plan_config, progress=progress)
    return lint_paths(list(map(str, paths)), select=tuple(select), ignore=tuple(ignore), examine=examine)


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
    def inputs(self) -> dict[str, dict[int, Axis]]:
        """The inputs in order, each with its symbolic dims by axis."""
        return {tensor.name: tensor.dynamic_axes() for tensor in self.graph.inputs}

    @property
    def outputs(self) -> dict[str, dict[int, Axis]]:
        """The outputs in order, each with its symbolic dims by axis."""
        return {tensor.name: tensor.dynamic_axes() for tensor in self.graph.outputs}

    @property
    def opset(self) -> int | None:
        """The ONNX opset a build uses; None for a target that has none."""
        return self.plan.recording.opset

    @property
    def atol(self) -> float:
        """The absolute part of the bound a build is verified with, in the units of the outputs."""
        return self.plan.bound.atol

    def dummy_inputs(self, point: str = "trace", seed: int = 0) -> dict[str, Any]:
        """Return numpy arrays for every input at the sizes of a point: ``trace``, ``check 1``, …"""
        from exporter.planning.dummies import make_dummies

        chosen = next((one for one in self.plan.sizes.points if one.name == point), None)
        if chosen is None:
            raise ExporterError(
                f"no point '{point}'", help=f"the points are {', '.join(one.name for one in self.plan.sizes.points)}"
            )
        return make_dummies(self.graph, chosen, seed)

    def __repr__(self) -> str:
        return f"ExportConfig({self.plan.model.architecture!r}, task={self.plan.task!r}, inputs={list(self.inputs)}, outputs={list(self.outputs)})"
