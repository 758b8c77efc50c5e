"""The Python API: the command line's pipeline as functions, through which alone the command line calls the engine.

>>> import exporter
>>> results = exporter.build("specs/my-model.yaml", task="fill-mask", output="out")     # doctest: +SKIP
>>> exporter.verify("out").passed                                        # doctest: +SKIP
True

The engine is imported by the functions that run it: a command that only reads documents does not pay for a build.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from exporter.docstrings import names_options
from exporter.errors import ExporterError, UsageError, did_you_mean
from exporter.language.fixes import diff_fixes as diff_fixes  # for the command line
from exporter.language.fixes import fix_files
from exporter.language.linting import LintResult, lint_paths
from exporter.language.selecting import Selection as Selection  # for the command line
from exporter.language.selecting import select_specs as select_specs
from exporter.language.spec import Spec
from exporter.steps import Progress, Step
from exporter.versions import install_command, is_installed, untried_versions

if TYPE_CHECKING:
    from exporter.artifacts.publishing import Publication
    from exporter.building.dry_run import Foreseen
    from exporter.building.measuring import Measurement
    from exporter.building.pool import OnStage, Outcome
    from exporter.building.request import Given
    from exporter.building.requests import Build
    from exporter.drafting.choosing import Ask
    from exporter.drafting.making import Drafted
    from exporter.language.document import Mapping as Node
    from exporter.models.checkpoints import LeftBehind
    from exporter.planning.plan import Axis, Plan, Setting
    from exporter.verification.report import Report


class SourceOptions(TypedDict, total=False):
    """How a checkpoint is taken; None is the default.

    Attributes:
        revision: the branch, tag or commit of a hub id. Default: the newest of its main branch.
        subfolder: the folder of the checkpoint inside a directory or hub id. Default: the directory itself.
        framework: whose weights to take where a checkpoint holds several: ``pt``, ``tf`` or ``flax``. Default: the
            first of these that it has.
        cache_dir: where downloads of a hub id are kept. Default: the cache of Hugging Face's libraries.
        trust_remote_code: let the checkpoint run Python of its own. Default: False.
    """

    revision: str | None
    subfolder: str | None
    framework: str | None
    cache_dir: str | Path | None
    trust_remote_code: bool | None


class VerifyOptions(SourceOptions, total=False):
    """How an artifact is verified again.

    Attributes:
        trust_artifact: open files that run code of whoever made the artifact: what AOTInductor or the AWS Neuron SDK
            compiled, and programs with pickles. Default: False.
    """

    trust_artifact: bool | None


class PushOptions(TypedDict, total=False):
    """How an artifact is published.

    Attributes:
        private: whether only its owner may see the repository. Default: False.
        revision: the branch, made where it is not there. Default: ``main``.
        message: the subject of the commit.
        token: what proves who publishes. Default: ``HF_TOKEN``, or what ``hf auth login`` stored.
    """

    private: bool | None
    revision: str | None
    message: str | None
    token: str | None


class RequestOptions(SourceOptions, total=False):
    """What is built, beside its task, target and place; None is the default, or what a build file says.

    Attributes:
        model: a checkpoint directory or hub id. Default: the spec's reference, a tiny model with random weights.
        verify: compare with PyTorch, and fail where the graph differs. Default: True.
        dims: sizes for dynamic dims, which then are not left open. Default: ``{}``, all are left open.
        static: leave no dim open; each dynamic one needs a size in ``dims``. Default: False.
        settings: options that only one target has, by the names of its flags with underscores, such as
            ``{"freeze": True}``. Default: ``{}``, each target's own defaults.
        opset: the version of the ONNX operators. Default: 18, or the lowest later one that holds the model.
        dtype: of weights and computation: ``float32``, ``float16`` or ``bfloat16``. Default: ``float32``.
        tracer: what records the graph: ``torchscript`` or ``dynamo``. Default: the spec's choice.
        atol: the absolute part of the bound, in the units of the outputs. Default: the spec's for the dtype.
        rtol: the relative part of the bound. Default: the spec's for the dtype.
        weights: ``auto`` (in the file below 2 GB, beside it above) or ``external`` (always beside it). Default:
            ``auto``.
        monolith: a task of several graphs as the single one earlier systems wrote. Default: False.
        merged: one decoder that serves every step. Default: False.
        output_hidden_states: the states between layers are outputs too. Default: False.
        output_attentions: the weights that attention gives each position are outputs too. Default: False.
        layout: the files of a kind of consumer, by the name `exporter build --layout` takes. Default: ``flat``, for
            ONNX Runtime and optimum.
        variant: a variant of the spec, counted from 1, in place of its reference. Default: none of them.
        seed: of dummies and of a reference's weights. Default: 0.
    """

    model: str | Path | None
    verify: bool | None
    dims: Mapping[str, int] | None
    static: bool | None
    settings: Mapping[str, Setting] | None
    opset: int | None
    dtype: str | None
    tracer: str | None
    atol: float | None
    rtol: float | None
    weights: str | None
    monolith: bool | None
    merged: bool | None
    output_hidden_states: bool | None
    output_attentions: bool | None
    layout: str | None
    variant: int | None
    seed: int | None


class PlanOptions(RequestOptions, total=False):
    """What a plan is made for.

    Attributes:
        target: what would be built. Default: ``onnx``.
    """

    target: str | None


class BuildOptions(RequestOptions, total=False):
    """What is built.

    Attributes:
        task: tasks or retired feature names. Default, or ``auto``: the task a checkpoint was saved for; without
            ``model``, every task of the spec.
        target: what to build, by name; several are several artifacts. Default: ``onnx``.
        output: where to write; with one task the artifact itself, with several a directory of them. Default:
            ``artifacts/<name>/<task>``.
    """

    task: str | Iterable[str] | None
    target: str | Iterable[str] | None
    output: str | Path | None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One artifact that was built: where it is, what it is, and what verification measured.

    Attributes:
        directory: where the artifact is, as ``output`` said.
        plan: what was built, spelled out: ``plan.graphs`` has every input and output with its dtype and shape,
            ``plan.recording`` the target, tracer and opset, ``plan.bound`` the tolerances.
        report: what was compared and how far apart it was, with ``report.passed`` and ``report.verdict``; None with
            ``verify=False``. A build that differs raises and has no result.
        files: the sizes in bytes of the files in the artifact, by their names in it.
        left: the files of the checkpoint that are not in the artifact, each with the reason.
    """

    directory: Path
    plan: Plan
    report: Report | None
    files: Mapping[str, int]
    left: tuple[LeftBehind, ...] = ()


@names_options(PlanOptions, RequestOptions, SourceOptions)
def plan(spec: Spec | str | Path, task: str, *, config: Any = None, **options: Unpack[PlanOptions]) -> Plan:
    """Spell out one task of an architecture for a config, as a build would.

    Args:
        spec: a composed spec, the path of one, or an architecture.
        task: a task or a retired feature name.
        config: a transformers config, or a mapping of values laid over the reference's. Default: the reference's.
        options: the fields of `exporter.api.PlanOptions`, such as ``model="./my-checkpoint"``, ``opset=17`` or
            ``dtype="float16"``.

    Raises:
        UsageError: the task, opset, dtype or tracer cannot be had, or the checkpoint is of another architecture.
        SpecError: an expression of the spec does not hold for the config.
        CheckpointError: the config cannot be loaded.
    """
    from exporter.building.preparing import foresee, prepare
    from exporter.building.requests import plan_builds as find_builds
    from exporter.models.config_library import library_directory

    composed = spec if isinstance(spec, Spec) else None
    builds = find_builds([composed or str(spec)], {**_given(options, PlanOptions), "tasks": (task,)})
    if len(builds) != 1:
        raise UsageError(
            f"a plan is of one task of one spec, and '{spec}' with the task '{task}' is {len(builds)} builds",
            help="name one spec and one task",
        )
    choice = builds[0].choice
    if library_directory() is None and choice is not None and (config is None or isinstance(config, Mapping)):
        return foresee(choice, builds[0].checkpoint, config).plan
    return prepare(builds[0].request, spec=composed, config=config).plan


def given_options(**options: Any) -> dict[str, Any]:
    """Return what was given among options, where None and nothing at all mean that nobody asked for it."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def _given(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return keyword arguments by the names of `exporter.building.request.OPTIONS`, without those that are None.

    Args:
        options: the keyword arguments.
        kind: the typed dictionary of those the function has.

    Raises:
        TypeError: the function has no such argument.
    """
    known = kind.__annotations__
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        hint = did_you_mean(unknown, known)
        raise TypeError(f"there is no argument '{unknown}'" + (f"; {hint}" if hint else ""))
    given = {
        name: _READERS[name](value) if name in _READERS else value
        for name, value in options.items()
        if value is not None
    }
    return given_options(**{_PLURALS.get(name, name): value for name, value in given.items()})


def _tuple(words: str | Iterable[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


# Arguments that a request holds as another type, and those it holds several of under another name.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "task": _tuple,
    "target": _tuple,
    "model": str,
    "cache_dir": str,
    "output": Path,
}
_PLURALS = {"task": "tasks", "target": "targets"}


def plan_builds(names: Iterable[str], given: Given) -> list[Build]:
    """Return the builds that are asked for, each of one task and one target.

    Raises:
        UsageError, SpecError, CheckpointError: as `build` would raise before any work.
    """
    from exporter.building.requests import plan_builds as find_builds

    return find_builds(names, given)


def plan_requests(names: Iterable[str], given: Given, progress: Progress = lambda _: None) -> list[Plan]:
    """Return the plans of the builds that `run_requests` would run for the same arguments.

    Args:
        names: specs, architectures, directories of specs, or build files.
        given: tasks and options, as for a build.
        progress: told what is being done.

    Raises:
        UsageError, SpecError, CheckpointError: as a build would raise.
    """
    from exporter.building.preparing import foresee, prepare
    from exporter.models.config_library import library_directory

    builds = plan_builds(names, given)
    if library_directory() is None:
        return [foresee(build.choice, build.checkpoint).plan for build in builds if build.choice is not None]
    plans: list[Plan] = []
    for index, build in enumerate(builds):
        progress(Step(f"planning {build.architecture} {build.task}", index, len(builds)))
        plans.append(prepare(build.request).plan)
    return plans


def dry_run(names: Iterable[str], given: Given) -> list[Foreseen]:
    """Return what builds would do, with every reason why one cannot be made; nothing is built, written or raised.

    Args:
        names: specs, architectures, directories of specs, or build files.
        given: tasks and options, as for a build.
    """
    from exporter.building.dry_run import dry_run as look_ahead

    return look_ahead(names, given)


def run_requests(builds: list[Build], on_stage: OnStage = lambda build, text: None, jobs: int = 1) -> Iterator[Outcome]:
    """Run builds and yield how each ended; one that fails does not stop the others.

    Raises:
        UsageError: a place cannot be written, or holds something that would be lost.
        ExporterError: none of the builds can be made, and that shows before any work. Of several builds, those that
            cannot be made end first.
    """
    from exporter.building.durations import remembered
    from exporter.building.foreseeing import refuse_early
    from exporter.building.pool import Outcome, run_builds
    from exporter.building.requests import check_places

    check_places(builds)
    refused = refuse_early(builds)
    possible = [build for build in builds if not any(build is other for other, _ in refused)]
    outcomes = remembered(run_builds(possible, on_stage, min(jobs, max(len(possible), 1))))
    return itertools.chain((Outcome(build, 0.0, error=reason) for build, reason in refused), outcomes)


@names_options(BuildOptions, RequestOptions, SourceOptions)
def build(
    *specs: str | Path, jobs: int = 1, progress: Progress = lambda _: None, **options: Unpack[BuildOptions]
) -> list[BuildResult]:
    """Build, verify and write artifacts.

    What is given holds for every entry of a build file too; what is None is the entry's, or the default.

    Args:
        specs: specs, architectures, directories of specs or build files. None with a ``model``: its own architecture's.
        jobs: how many builds run at once, each in a process of its own.
        progress: told what is being done.
        options: the fields of `exporter.api.BuildOptions`, such as ``task="fill-mask"``, ``model="./my-checkpoint"``,
            ``output="out"``, ``opset=17`` or ``dims={"batch": 1}``.

    Raises:
        ExporterError: the first build that failed, with the type and fields it was raised with; earlier artifacts stay.
    """
    results: list[BuildResult] = []
    builds = plan_builds(map(str, specs), _given(options, BuildOptions))
    for line in untried_versions():
        warnings.warn(line, stacklevel=2)
    for outcome in run_requests(builds, lambda _, text: progress(text), jobs):
        if outcome.error is not None:
            raise outcome.error
        if outcome.plan is not None:
            files, left = outcome.files, outcome.left
            results.append(BuildResult(outcome.build.output, outcome.plan, outcome.report, files, left))
    return results


@names_options(VerifyOptions, SourceOptions)
def verify(
    directory: str | Path,
    *,
    model: str | Path | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    progress: Progress = lambda _: None,
    **options: Unpack[VerifyOptions],
) -> Report:
    """Verify an artifact again: on its golden vectors, or beside its checkpoint with new inputs.

    Nothing in the artifact is run as code: files that hold some are refused, and so are those that exporter cannot tell
    from them. A runtime still computes the graphs in this process; ``exporter verify`` gives it one of its own.

    Args:
        directory: an artifact that `build` wrote.
        model: the checkpoint it was built from, a directory or a hub id. Without it no torch is needed.
        atol: another absolute tolerance than the manifest's.
        rtol: another relative tolerance than the manifest's.
        progress: told what is being done.
        options: the fields of `exporter.api.VerifyOptions`: ``trust_artifact``, and of a checkpoint ``revision``,
            ``subfolder``, ``framework``, ``cache_dir`` and ``trust_remote_code``.

    Raises:
        UsageError: the directory is no artifact, or a build is replacing it, or an option of a checkpoint is given
            without one.
        UntrustedError: a file would run code of whoever made the artifact, or reach outside of it.
        CheckpointError: the model is not the one the artifact was built from, or cannot be loaded.
    """
    from exporter.building.request import make_source
    from exporter.verification.again import Asked, verify_again

    given = _given(options, VerifyOptions)
    trust = bool(given.pop("trust_artifact", False))
    asked = Asked(make_source({**given, "model": model}), atol, rtol, trust)
    path = Path(directory)
    _refuse_replaced(path)
    return verify_again(path, asked, progress)


def push(
    directory: str | Path,
    name: str,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
    **options: Unpack[PushOptions],
) -> Publication:
    """Publish an artifact on the Hub, in one commit, after a look that every file is as it was built.

    Args:
        directory: an artifact that `build` wrote.
        name: the repository: ``NAME`` of the user's own, or ``OWNER/NAME``. It is made where it is not there.
        dry_run: say what would be sent, and ask the Hub nothing.
        progress: told what is being done.
        options: the fields of `exporter.api.PushOptions`: ``private``, ``revision``, ``message`` and ``token``.

    Raises:
        UsageError: the directory is no artifact or not whole, the name is none, or the token does not do.
        PublishError: the Hub cannot be reached, or did not take the artifact.
    """
    check_publishing()
    from exporter.artifacts.publishing import Place, push_artifact

    path = Path(directory)
    _refuse_replaced(path)
    place = Place(name, **_given(options, PushOptions))
    return push_artifact(path, place, dry_run=dry_run, progress=progress)


def check_publishing() -> None:
    """Check that what publishing needs is installed.

    Raises:
        UsageError: it is not; says what to install.
    """
    missing = [name for name in ("huggingface_hub", "numpy", "ml_dtypes") if not is_installed(name)]
    if missing:
        raise UsageError(
            f"publishing needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            help=install_command("publish"),
        )


def _refuse_replaced(path: Path) -> None:
    """Refuse an artifact that a build is replacing."""
    from exporter.artifacts.swap import is_interrupted

    if is_interrupted(path.resolve()):
        raise UsageError(
            f"'{path}' is being replaced by a build, or a build was killed as it did that",
            help="wait until the build has ended; or build again, which first brings the earlier artifact back",
        )


def measure(
    names: Iterable[str],
    given: Given,
    on_stage: OnStage = lambda build, text: None,
    on_planned: Callable[[list[Build]], None] = lambda builds: None,
) -> Iterator[Measurement]:
    """Build references into a place of no consequence and yield what verification measures.

    Args:
        names: specs, architectures, directories of specs or build files.
        given: tasks and options, as for a build.
        on_stage: told what is being done.
        on_planned: told of all builds before the first.
    """
    from exporter.building.measuring import measure as measure_builds

    return measure_builds(names, given, on_stage, on_planned)


def draft(model_type: str | None, given: Given, ask: Ask, progress: Progress = lambda _: None) -> Drafted:
    """Draft a spec by looking at a model.

    Args:
        model_type: the architecture; None for that of the checkpoint in ``given``.
        given: ``model`` and the options of a checkpoint, and the fields of `exporter.drafting.making.Wish`.
        ask: decides where the model does not.
        progress: told what is being done.

    Raises:
        UsageError: transformers has no such architecture, no family fits it, or an option does not.
        CheckpointError: the checkpoint cannot be opened, or its config not be read.
    """
    from exporter.building.request import make_source
    from exporter.drafting.making import Wish, draft_spec

    of_wish = {name: given[name] for name in ("tasks", "family", "variants", "build") if name in given}
    return draft_spec(Wish(model_type, make_source(given), **of_wish), ask, progress)


def check_draft(name: str, given: Given, ask: Ask, progress: Progress = lambda _: None) -> list[str]:
    """Draft the spec of a spec's architecture anew, and return the lines of a diff between the two.

    Args:
        name: the spec, by its path or architecture.
        given: as for `draft`.
        ask: decides where the model does not.
        progress: told what is being done.

    Raises:
        UsageError: there is no such spec, or it cannot be drafted.
    """
    from exporter.drafting.comparing import compare_spec, spec_architecture

    drafted = draft(spec_architecture(name), {**given, "variants": False, "build": False}, ask, progress)
    return compare_spec(name, drafted.draft)


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
    from exporter.language.strangers import refuse_strangers

    for path in paths:
        refuse_strangers(str(path), "build it with: exporter build --model")
    examine = None
    if models:
        from exporter.building.request import plan_config
        from exporter.models.examination import examine_spec

        examine = partial(examine_spec, planner=plan_config, progress=progress)
    return lint_paths(list(map(str, paths)), select=tuple(select), ignore=tuple(ignore), examine=examine)


def fix(run: Callable[[], LintResult]) -> tuple[LintResult, int]:
    """Apply the safe fixes of what a call of `lint` finds, and return what it finds then, with the number of fixes."""
    return fix_files(run)


def load_specs(directory: Path | None = None) -> list[Spec]:
    """Return the specs of a directory, or of the catalogue, by name.

    Raises:
        SpecError: one of them has findings.
    """
    from exporter.language.catalog import list_specs
    from exporter.language.loading import load_spec

    return [load_spec(path) for path in list_specs(directory)]


def compose(name: str) -> Node:
    """Return the tree of a spec laid over its family, whose nodes know their file and line.

    Raises:
        UsageError: there is no such spec.
        SpecError: it has findings.
    """
    from exporter.language.catalog import display_name, find_spec
    from exporter.language.composing import compose_spec
    from exporter.language.document import load_document
    from exporter.language.loading import load_spec
    from exporter.language.strangers import refuse_strangers

    refuse_strangers(name, "build it with: exporter build --model")
    load_spec(name)
    path = find_spec(name)
    tree = compose_spec(load_document(path, display_name(path))).tree
    if tree is None:
        raise UsageError(f"'{path}' has nothing to show")
    return tree


@names_options(PlanOptions, RequestOptions, SourceOptions)
class ExportConfig:
    """What the boundary of one graph looks like for a config: the object earlier systems had a class per model for.

    Args:
        architecture: an architecture, or the path of a spec.
        config: a transformers config or a mapping of values; default the reference's.
        task: a task or a retired feature name.
        component: which graph of a task with several; default the first.
        options: the fields of `exporter.api.PlanOptions`, as for `plan`.
    """

    def __init__(
        self,
        architecture: str,
        config: Any = None,
        task: str = "feature-extraction",
        *,
        component: str | None = None,
        **options: Unpack[PlanOptions],
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

        sizes = {each.name: each for each in self.plan.sizes.points}
        if point not in sizes:
            raise ExporterError(f"no point '{point}'", help=f"the points are {', '.join(sizes)}")
        return make_dummies(self.graph, sizes[point], seed)

    def __repr__(self) -> str:
        names = f"inputs={list(self.inputs)}, outputs={list(self.outputs)}"
        return f"ExportConfig({self.plan.model.architecture!r}, task={self.plan.task!r}, {names})"
