"""What to build: from specs, architectures, directories, build files and a checkpoint to a list of builds.

Everything that can be refused without torch is refused here, before any work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from exporter import artifact
from exporter.catalog import find_spec, list_specs, spec_directory
from exporter.checkpoints import Checkpoint, open_checkpoint, pytorch_class
from exporter.choosing import refuse_impossible
from exporter.diagnostics import CheckpointError, SpecError, UsageError
from exporter.layouts import find_layout
from exporter.loading import load_spec
from exporter.planning import Options, find_task
from exporter.schema import check_schema
from exporter.source import load_document, to_data
from exporter.spec import WITH_PAST, Spec, TaskSpec
from exporter.targets import DEFAULT_TARGET, find_target

DEFAULT_OUTPUT = "artifacts"
# Asks for what is done where no task is named.
AUTO_TASK = "auto"


@dataclass(frozen=True, slots=True)
class Build:
    """One artifact to be made. ``model`` is None for the spec's reference; ``task_reason`` says who chose the task."""

    spec: str
    architecture: str
    task: str
    task_reason: str
    model: str | None
    revision: str | None
    framework: str | None
    cache_dir: str | None
    trust_remote_code: bool
    options: Options
    verify: bool
    output: Path


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row of what was asked for, before tasks and places are settled.

    ``exact`` says whether ``output`` is the row's own place, or a directory of several rows'; None where only the number of rows tells.
    Several ``targets`` are several builds, each in a directory of its own.
    """

    spec: str | None
    model: str | None = None
    tasks: tuple[str, ...] = ()
    targets: tuple[str, ...] = (DEFAULT_TARGET,)
    output: Path | None = None
    revision: str | None = None
    framework: str | None = None
    cache_dir: str | None = None
    trust_remote_code: bool = False
    options: Options = field(default_factory=Options)
    verify: bool = True
    exact: bool | None = None


def plan_builds(names: Iterable[str], wanted: Wanted) -> list[Build]:
    """Return the builds a command line asks for.

    Args:
        names: specs, architectures, directories of specs, or build files. None of them with a model: the spec is found by
            the checkpoint's ``model_type``.
        wanted: the options of the command line, for every build.

    Raises:
        UsageError: something asked for cannot be had, or two builds would write to one place.
        SpecError: a spec or build file has findings.
        CheckpointError: the checkpoint has no config, no weights, or no task of its own.
    """
    rows = list(_rows(names, wanted))
    builds = [
        build for row in rows for one in _by_target(row) for build in _builds_of(one, alone=len(rows) == 1)
    ]  # fmt: skip
    places: dict[Path, Build] = {}
    for build in builds:
        other = places.setdefault(build.output.absolute(), build)
        if other is not build:
            raise UsageError(
                f"two builds would be written to '{build.output}': {other.architecture} {other.task} and {build.architecture} {build.task}",
                help="give them different outputs",
            )
        artifact.check_place(build.output)
    return builds


def _by_target(row: Wanted) -> Iterator[Wanted]:
    """Yield a row for each target of a row; those of several are written apart."""
    targets = tuple(dict.fromkeys(row.targets))
    for name in targets:
        target = find_target(name)
        settings = {
            key: value
            for key, value in row.options.settings.items()
            if key in target.settings or not _is_for_another(key, targets)
        }
        options = replace(row.options, target=name, settings=settings)
        output = row.output / name if row.output is not None and len(targets) > 1 else row.output
        yield replace(row, targets=(name,), options=options, output=output)


def _is_for_another(setting: str, targets: Iterable[str]) -> bool:
    return any(setting in find_target(name).settings for name in targets)


def _rows(names: Iterable[str], wanted: Wanted) -> Iterator[Wanted]:
    given = list(names)
    if not given and wanted.model is None:
        raise UsageError(
            "nothing to build",
            help="name a spec or an architecture ('exporter list'), or give a checkpoint with --model",
        )
    if not given:
        yield wanted
    for name in given:
        path = Path(name)
        if path.is_dir():
            specs = list_specs(path)
            if not specs:
                raise UsageError(
                    f"there are no specs in '{name}'", help="a spec is a .yaml file directly in the directory"
                )
            yield from (replace(wanted, spec=str(spec), output=wanted.output) for spec in specs)
        elif path.is_file() and load_document(path).kind() == "build":
            yield from _build_file(path, wanted)
        else:
            yield replace(wanted, spec=str(find_spec(name)))


def _build_file(path: Path, wanted: Wanted) -> Iterator[Wanted]:
    """Yield the rows of a build file; its paths are relative to it and may not leave its directory."""
    document = load_document(path, path.as_posix())
    findings = [*document.diagnostics, *check_schema(document)]
    if findings or document.root is None:
        raise SpecError(findings)
    data: Any = to_data(document.root)
    output = wanted.output or _inside(path.parent, data.get("output", DEFAULT_OUTPUT), path)
    for entry in data["builds"]:
        if "spec" not in entry and "model" not in entry:
            raise UsageError(f"a build of '{path}' has neither 'spec' nor 'model'")
        options = {
            key: entry[key]
            for key in (
                "opset",
                "dtype",
                "tracer",
                "atol",
                "rtol",
                "weights",
                "monolith",
                "merged",
                "layout",
                "variant",
                "dims",
                "static",
                "settings",
            )
            if key in entry
        }
        model = entry.get("model")
        if model is not None and (path.parent / model).exists():
            model = str(_inside(path.parent, model, path))
        spec = entry.get("spec")
        if spec is not None:
            spec = str(_inside(path.parent, spec, path)) if (path.parent / spec).is_file() else str(find_spec(spec))
        place = _inside(output, entry["output"], path) if "output" in entry else output
        yield replace(
            wanted, spec=spec, model=model, tasks=tuple(entry.get("tasks", ())), targets=tuple(entry.get("targets", wanted.targets)), output=place,
            revision=entry.get("revision"), framework=entry.get("framework"), trust_remote_code=entry.get("trust_remote_code", False),
            options=replace(wanted.options, **options), verify=entry.get("verify", wanted.verify),
            exact="output" in entry,
        )  # fmt: skip


def _inside(base: Path, name: str, file: Path) -> Path:
    path = base / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(base.resolve()):
        raise UsageError(
            f"'{name}' in '{file}' leads out of '{base}'", help="paths in a build file stay below its directory"
        )
    return path


def _builds_of(row: Wanted, *, alone: bool) -> Iterator[Build]:
    checkpoint = (
        open_checkpoint(
            row.model,
            revision=row.revision,
            code=row.trust_remote_code,
            framework=row.framework,
            cache_dir=row.cache_dir,
        )
        if row.model is not None
        else None
    )
    spec_name = row.spec or _spec_of(checkpoint)
    spec = load_spec(spec_name)
    if checkpoint is not None:
        _check_architecture(checkpoint, spec)
    if checkpoint is not None and row.options.variant is not None:
        raise UsageError("--variant goes with a spec's reference, not with --model", help="leave one of them out")
    spec.with_variant(row.options.variant)
    tasks = list(_tasks_of(row, spec, checkpoint))
    if row.output is not None and (alone if row.exact is None else row.exact):
        base, single = row.output, len(tasks) == 1
    else:
        variant = f"-variant-{row.options.variant}" if row.options.variant is not None else ""
        target = f"-{row.options.target}" if row.options.target != DEFAULT_TARGET else ""
        label = (_label(checkpoint) if checkpoint is not None else spec.architecture + variant) + target
        base, single = (row.output or Path(DEFAULT_OUTPUT)) / label, False
    for task, reason in tasks:
        refuse_impossible(spec, task, row.options)
        find_layout(row.options.layout).check(checkpoint, task)
        if row.verify:
            find_target(row.options.target).refuse_verification(row.options.settings)
        yield Build(
            spec=spec_name, architecture=spec.architecture, task=task.name, task_reason=reason, model=row.model,
            revision=row.revision, framework=row.framework, cache_dir=row.cache_dir, trust_remote_code=row.trust_remote_code, options=row.options, verify=row.verify,
            output=base if single else base / task.name,
        )  # fmt: skip


def _label(checkpoint: Checkpoint) -> str:
    """Return a directory name for a checkpoint: the last part of its path or hub id."""
    name = checkpoint.path.resolve().name if checkpoint.commit is None else checkpoint.name.rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]+", "-", name) or "model"


def _spec_of(checkpoint: Checkpoint | None) -> str:
    """Return the spec for a checkpoint's ``model_type``."""
    if checkpoint is None:
        raise UsageError("nothing to build", help="name a spec or give a checkpoint with --model")
    found = checkpoint.read_config().get("model_type")
    if not isinstance(found, str):
        raise CheckpointError(
            f"config.json of '{checkpoint.name}' has no 'model_type'",
            help='add "model_type": "<architecture>" to config.json',
        )
    if any(path.stem == found for path in list_specs()):
        return str(spec_directory() / f"{found}.yaml")
    # No nearest name: a checkpoint's model_type is seldom misspelt, and another architecture's spec would not do.
    hint = f"write one and name it: exporter build {found}.yaml --model {checkpoint.name} (docs/adding-a-model.md)"
    raise UsageError(f"there is no spec for the architecture '{found}' of '{checkpoint.name}'", help=hint)


def _check_architecture(checkpoint: Checkpoint, spec: Spec) -> None:
    found = checkpoint.read_config().get("model_type")
    if found is not None and found != spec.architecture:
        raise UsageError(
            f"'{checkpoint.name}' is a checkpoint of the architecture '{found}', and the spec is of '{spec.architecture}'",
            help=f"leave the spec out: exporter build --model {checkpoint.name}",
        )


def _tasks_of(row: Wanted, spec: Spec, checkpoint: Checkpoint | None) -> Iterator[tuple[TaskSpec, str]]:
    """Yield the tasks asked for; else every task of a reference, or the task a checkpoint was saved for."""
    if row.tasks not in ((), (AUTO_TASK,)):
        yield from ((find_task(spec, name), "asked for") for name in dict.fromkeys(row.tasks))
        return
    if checkpoint is None:
        yield from ((task, "every task of the spec") for task in spec.tasks.values())
        return
    named = checkpoint.read_config().get("architectures")
    saved = named if isinstance(named, list) else []
    for name in saved:
        task = _task_of_class(pytorch_class(str(name)), spec)
        if task is not None:
            yield task, f"from its architectures: {name}"
            return
    shown = ", ".join(map(str, saved)) or "none"
    raise UsageError(
        f"the task of '{checkpoint.name}' cannot be told from its config.json (architectures: {shown})",
        help=f"give --task: {', '.join(spec.tasks)}",
    )


# Auto classes behind names that do not end like their auto class, in the order they are tried.
_GENERATION = ("Seq2SeqLM", "SpeechSeq2Seq", "ImageTextToText")
_HEADS = {
    "WithLMHeadModel": ("MaskedLM",), "LMHeadModel": ("CausalLM",), "ForConditionalGeneration": _GENERATION,
    "MTModel": _GENERATION, "EncoderDecoderModel": _GENERATION,
    "ForSequenceClassification": ("SequenceClassification", "AudioClassification"),
}  # fmt: skip


def _task_of_class(name: str, spec: Spec) -> TaskSpec | None:
    """Return the task whose model class is ``name``, with past where the spec has it: that is what is deployed."""
    tasks = spec.tasks.values()
    known = [task.auto_class or "" for task in tasks]
    wanted = next((one for one in _auto_classes(name, known) if one in known), None)
    found = [task for task in tasks if (task.auto_class == wanted if wanted else task.model_class == name)]
    generative = [task for task in found if task.name.endswith(WITH_PAST) and task.auto_class != "AutoModel"]
    return next(iter((*generative, *found)), None)


def _auto_classes(name: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the auto classes a model class may belong to, likeliest first.

    ``ForImageClassificationWithTeacher`` says more than its auto class, ``ForSegmentation`` of images less.
    """
    heads = next((heads for suffix, heads in _HEADS.items() if name.endswith(suffix)), None)
    if heads is not None:
        yield from (f"AutoModelFor{head}" for head in heads)
    elif "For" in name:
        head = name.rpartition("For")[2]
        yield f"AutoModelFor{head}"
        for auto_class in known:
            own = auto_class.removeprefix("AutoModelFor")
            if own != auto_class and (head.startswith(own) or own.endswith(head)):
                yield auto_class
    elif name.endswith("Model"):
        yield "AutoModel"


def describe(build: Build) -> Mapping[str, str]:
    """Return the parts of a build's headline."""
    source = "its reference (a tiny model with random weights)" if build.model is None else build.model
    return {"what": f"{build.architecture} {build.task}", "source": source, "reason": build.task_reason}
