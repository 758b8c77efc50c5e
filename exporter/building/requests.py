"""The list of builds for specs, architectures, directories, build files and a checkpoint.

A request that can be refused without torch is refused here, before any work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from exporter.artifacts.layouts import find_layout
from exporter.artifacts.staging import check_place
from exporter.building.request import Given, Request, choose_task, make_request, overlay, split_settings
from exporter.errors import CheckpointError, ExporterError, UsageError
from exporter.language.catalog import find_spec, list_specs, spec_directory
from exporter.language.class_names import task_of_class
from exporter.language.diagnostics import SpecError
from exporter.language.document import load_document, to_data
from exporter.language.linting import check_document
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, TaskSpec
from exporter.language.strangers import refuse_strangers
from exporter.models.checkpoints import Checkpoint, check_architecture, open_checkpoint, pytorch_class
from exporter.planning.choices import Choice
from exporter.planning.options import DEFAULT_TARGET
from exporter.planning.planner import find_task
from exporter.targets.registry import find_target

DEFAULT_OUTPUT = "artifacts"
# A word for a task: every task of a reference, or the task a checkpoint was saved for.
AUTO_TASK = "auto"
# Told of what cannot be built, in a few words, and why.
OnRefusal = Callable[[str, ExporterError], None]


@dataclass(frozen=True, slots=True)
class Build:
    """One artifact to be made: a request with one spec, one task, one target and its place.

    ``task_reason`` says who chose the task: ``asked for``, or ``from its architectures: <class>``. ``choice`` and
    ``checkpoint`` are what the request means, for whoever looks ahead; a worker makes them anew.
    """

    request: Request
    architecture: str
    task_reason: str
    choice: Choice | None = field(default=None, compare=False, repr=False)
    checkpoint: Checkpoint | None = field(default=None, compare=False, repr=False)

    @property
    def task(self) -> str:
        """The task, by its Hub name."""
        return self.request.task

    @property
    def model(self) -> str | None:
        """The checkpoint as it was called; None for the spec's reference."""
        return self.request.source.name if self.request.source is not None else None

    @property
    def output(self) -> Path:
        """Where the artifact goes."""
        if self.request.output is None:
            raise AssertionError("a build has its place")
        return self.request.output


@dataclass(frozen=True, slots=True)
class _Row:
    """A request for one spec, before its tasks and places are settled.

    The output of an ``exact`` row is its own place; that of another row is a directory it shares with other rows.
    ``spec`` is the composed spec where the caller has it, else None: it is loaded by the name in the request.
    """

    request: Request
    exact: bool
    spec: Spec | None = None


def _raise(_: str, error: ExporterError) -> None:
    raise error


@contextmanager
def _telling(title: str, on_refusal: OnRefusal) -> Iterator[None]:
    """Tell of what is refused inside, and go on behind it unless the listener raises."""
    try:
        yield
    except ExporterError as error:
        on_refusal(title, error)


def plan_builds(names: Iterable[str | Spec], given: Given, on_refusal: OnRefusal = _raise) -> list[Build]:
    """Return the builds of a request, each of one task and one target.

    Args:
        names: specs, architectures, directories of specs, or build files; a composed spec stands for its file. None of
            them with a model: the spec is found by the checkpoint's ``model_type``.
        given: the options that hold for each of them, by the names of `exporter.building.request.OPTIONS`.
        on_refusal: told of what is refused, and of the rest after it. Default: the first refusal is raised.

    Raises:
        UsageError: an option or task cannot be had, or two builds would write to one place.
        SpecError: a spec or build file has findings.
        CheckpointError: the checkpoint has no config, no weights, or no task of its own.
    """
    builds: list[Build] = []
    for row in _rows(list(names), given, on_refusal):
        with _telling(_title(row), on_refusal):
            builds += [build for part in _by_target(row) for build in _builds_of(part, on_refusal)]
    places: dict[Path, Build] = {}
    for build in builds:
        other = places.setdefault(build.output.absolute(), build)
        if other is not build:
            with _telling(f"{build.architecture} {build.task}", on_refusal):
                raise UsageError(
                    f"two builds would be written to '{build.output}': {other.architecture} {other.task} "
                    f"and {build.architecture} {build.task}",
                    help="give them different outputs",
                )
    return builds


def _title(row: _Row) -> str:
    """Return what is asked for, in the words it was asked for."""
    source = row.request.source
    model = f"the checkpoint {source.name}" if source is not None else ""
    return " and ".join(filter(None, (Path(row.request.spec).stem if row.request.spec else "", model)))


def check_places(builds: Iterable[Build]) -> None:
    """Check that every artifact can be put in its place before any work is done.

    Raises:
        UsageError: a place cannot be written, holds something that is not an artifact and would be lost, or is the
            checkpoint's.
    """
    for build in builds:
        model = build.model
        check_place(build.output, Path(model) if model is not None else None)


def _by_target(row: _Row) -> Iterator[_Row]:
    """Yield a row for each target of a row. Where there are several, each is written to a directory of its name."""
    request = row.request
    targets = tuple(dict.fromkeys(request.targets))
    for name in targets:
        settings = split_settings(request.options.settings, name, targets)
        output = request.output / name if request.output is not None and len(targets) > 1 else request.output
        options = replace(request.options, settings=settings)
        yield replace(row, request=replace(request, targets=(name,), options=options, output=output))


def _rows(names: list[str | Spec], given: Given, on_refusal: OnRefusal) -> list[_Row]:
    if not names and given.get("model") is None:
        raise UsageError(
            "nothing to build",
            help="name a spec or an architecture ('exporter list'), or give a checkpoint with --model",
        )
    rows: list[_Row] = [] if names else [_Row(make_request(given), exact=True)]
    for name in names:
        if isinstance(name, Spec):
            rows.append(_Row(make_request({**given, "spec": name.path}), exact=len(names) == 1, spec=name))
            continue
        with _telling(name, on_refusal):
            rows += _rows_of(name, given, on_refusal, alone=len(names) == 1)
    return rows


def _rows_of(name: str, given: Given, on_refusal: OnRefusal, *, alone: bool) -> list[_Row]:
    path = Path(name)
    if path.is_file() and load_document(path).kind() == "build":
        return list(_build_file(path, given, on_refusal))
    refuse_strangers(name)
    specs = list_specs(path) if path.is_dir() else [find_spec(name)]
    if not specs:
        raise UsageError(f"there are no specs in '{name}'", help="a spec is a .yaml file directly in the directory")
    exact = alone and len(specs) == 1
    return [_Row(make_request({**given, "spec": str(spec)}), exact=exact) for spec in specs]


def _build_file(path: Path, given: Given, on_refusal: OnRefusal) -> Iterator[_Row]:
    """Yield the rows of a build file; its paths are relative to it and may not leave its directory."""
    document = load_document(path, path.as_posix())
    findings = check_document(document)
    if findings or document.root is None:
        raise SpecError(findings)
    data: Any = to_data(document.root)
    base = given.get("output") or _inside(path.parent, data.get("output", DEFAULT_OUTPUT), path)
    for number, entry in enumerate(data["builds"], start=1):
        rows: list[_Row] = []
        with _telling(f"build {number} of '{path}'", on_refusal):
            if "spec" not in entry and "model" not in entry:
                raise UsageError(f"a build of '{path}' has neither 'spec' nor 'model'")
            if "output" in entry:
                _inside(base, entry["output"], path)
            asked = overlay({**given, "output": base}, {**entry, **_resolve(entry, path)})
            rows.append(_Row(make_request(asked), exact="output" in entry))
        yield from rows


def _resolve(entry: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the options of an entry that a request holds in another form.

    Lists become tuples, and paths relative to the build file become paths relative to the working directory.
    """
    resolved: dict[str, Any] = {name: tuple(entry[name]) for name in ("tasks", "targets") if name in entry}
    model, spec = entry.get("model"), entry.get("spec")
    if model is not None and _stands(path.parent / model):
        resolved["model"] = str(_inside(path.parent, model, path))
    if spec is not None:
        is_file = _stands(path.parent / spec) and (path.parent / spec).is_file()
        resolved["spec"] = str(_inside(path.parent, spec, path)) if is_file else str(find_spec(spec))
    return resolved


def _stands(path: Path) -> bool:
    """Tell whether there is such a file or directory. For a name too long for a file system, `exists` raises."""
    try:
        return path.exists()
    except OSError:
        return False


def _inside(base: Path, name: str, file: Path) -> Path:
    path = base / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(base.resolve()):
        raise UsageError(
            f"'{name}' in '{file}' leads out of '{base}'", help="paths in a build file stay below its directory"
        )
    return path


def _builds_of(row: _Row, on_refusal: OnRefusal) -> Iterator[Build]:
    request = row.request
    checkpoint = open_checkpoint(request.source) if request.source is not None else None
    spec_name = request.spec or _spec_of(checkpoint)
    spec = row.spec or load_spec(spec_name)
    if checkpoint is not None:
        check_architecture(checkpoint, spec.architecture)
        if request.options.variant is not None:
            raise UsageError("--variant goes with a spec's reference, not with --model", help="leave one of them out")
    spec = spec.with_variant(request.options.variant)
    tasks = list(_tasks_of(request, spec, checkpoint))
    if request.output is not None and row.exact:
        base, single = request.output, len(tasks) == 1
    else:
        base, single = (request.output or Path(DEFAULT_OUTPUT)) / _folder(request, spec, checkpoint), False
    for task, reason in tasks:
        builds: list[Build] = []
        with _telling(f"{spec.architecture} {task.name}", on_refusal):
            choice = choose_task(spec, task, request.options, request.target)
            find_layout(request.options.layout).check(checkpoint, task)
            if request.verify:
                find_target(request.target).refuse_verification(request.options.settings)
            output = base if single else base / task.name
            own = replace(request, spec=spec_name, tasks=(task.name,), output=output)
            builds.append(Build(own, spec.architecture, reason, choice, checkpoint))
        yield from builds


def _folder(request: Request, spec: Spec, checkpoint: Checkpoint | None) -> str:
    """Return the directory of a row among others: ``<architecture>-variant-1-torchscript``, or a checkpoint's name."""
    variant = f"-variant-{request.options.variant}" if request.options.variant is not None else ""
    target = f"-{request.target}" if request.target != DEFAULT_TARGET else ""
    return (_label(checkpoint) if checkpoint is not None else spec.architecture + variant) + target


def _label(checkpoint: Checkpoint) -> str:
    """Return a directory name for a checkpoint: the last part of its path or hub id."""
    name = checkpoint.whole.resolve().name if checkpoint.commit is None else checkpoint.name.rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]+", "-", name) or "model"


def _spec_of(checkpoint: Checkpoint | None) -> str:
    """Return the spec for a checkpoint's ``model_type``."""
    if checkpoint is None:
        raise UsageError("nothing to build", help="name a spec or give a checkpoint with --model")
    architecture = checkpoint.read_config().get("model_type")
    if not isinstance(architecture, str):
        raise CheckpointError(
            f"config.json of '{checkpoint.name}' has no 'model_type'",
            help='add "model_type": "<architecture>" to config.json',
        )
    if any(path.stem == architecture for path in list_specs()):
        return str(spec_directory() / f"{architecture}.yaml")
    # No nearest name: a checkpoint's model_type is seldom misspelt, and another architecture's spec would not do.
    hint = (
        f"write one and name it: exporter build {architecture}.yaml --model {checkpoint.name} (docs/adding-a-model.md)"
    )
    raise UsageError(f"there is no spec for the architecture '{architecture}' of '{checkpoint.name}'", help=hint)


def _saved_classes(checkpoint: Checkpoint) -> list[str]:
    """Return the classes a checkpoint was saved from, as its config names them."""
    named = checkpoint.read_config().get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def _saved_tasks(spec: Spec, checkpoint: Checkpoint) -> Iterator[tuple[str, TaskSpec]]:
    """Yield each class a checkpoint was saved from, with its task, where the spec has one."""
    for name in _saved_classes(checkpoint):
        task = task_of_class(pytorch_class(name), spec)
        if task is not None:
            yield name, task


def _other_purpose(task: TaskSpec, spec: Spec, checkpoint: Checkpoint | None) -> str:
    """Say that a checkpoint was saved for another task, whose weights may fit and mean something else.

    A task without a head of its own can be had from any checkpoint.
    """
    saved = next(iter(_saved_tasks(spec, checkpoint)), None) if checkpoint is not None else None
    if saved is None or task.auto_class == "AutoModel":
        return ""
    name, other = saved
    own = (task.auto_class, task.model_class)
    is_same = (other.auto_class, other.model_class) == own or other.auto_class == "AutoModel"
    return "" if is_same else f"; the checkpoint was saved as {name}"


def _tasks_of(request: Request, spec: Spec, checkpoint: Checkpoint | None) -> Iterator[tuple[TaskSpec, str]]:
    """Yield the tasks asked for; else every task of a reference, or the task a checkpoint was saved for."""
    if request.tasks not in ((), (AUTO_TASK,)):
        # Two words may mean one task: 'fill-mask' and 'masked-lm'.
        tasks = {task.name: task for task in (find_task(spec, name) for name in request.tasks)}
        yield from ((task, "asked for" + _other_purpose(task, spec, checkpoint)) for task in tasks.values())
        return
    if checkpoint is None:
        yield from ((task, "every task of the spec") for task in spec.tasks.values())
        return
    for name, task in _saved_tasks(spec, checkpoint):
        yield task, f"from its architectures: {name}"
        return
    shown = ", ".join(_saved_classes(checkpoint)) or "none"
    from exporter.models.serving import tasks_by_weights  # imports torch, which no other way to a task needs

    for task in tasks_by_weights(spec, checkpoint)[:1]:
        yield task, f"from its weights; its architectures: {shown}"
        return
    raise UsageError(
        f"the task of '{checkpoint.name}' cannot be told from its config.json (architectures: {shown}) or its weights",
        help=f"give --task: {', '.join(spec.tasks)}",
    )
