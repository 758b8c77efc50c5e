"""The request for a build. The command line, the Python API and build files are three doors that lead to a `Request`.

A door gathers the options it was *given*: a mapping from names of `OPTIONS` to values, without the options nobody gave,
which keep their defaults. `OPTIONS` follows from the fields of a request: a test fails where a new field is not an
option of every door.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifacts.layouts import find_layout
from exporter.errors import UsageError, did_you_mean
from exporter.language.spec import Spec, TaskSpec
from exporter.models.checkpoints.source import Source
from exporter.nearness import own_name
from exporter.planning.choices import Choice, choose
from exporter.planning.options import DEFAULT_TARGET, Options
from exporter.planning.plan import Plan
from exporter.planning.planner import plan_task
from exporter.targets.registry import find_target, refuse_foreign_settings

Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request for builds of one spec and one checkpoint: a build for each of its tasks and targets.

    Attributes:
        spec: a spec or an architecture; None for that of the checkpoint.
        source: the checkpoint; None for the spec's reference.
        tasks: tasks or retired feature names; none, or ``auto``, for every task of a reference and a checkpoint's own.
        targets: the kinds of file to build, each an artifact of its own.
        options: dims, dtype, opset and all else that shapes the graphs.
        output: where it is written.
        verify: compare with PyTorch, and fail where the graph differs.
    """

    spec: str | None = None
    source: Source | None = None
    tasks: tuple[str, ...] = ()
    targets: tuple[str, ...] = (DEFAULT_TARGET,)
    options: Options = field(default_factory=Options)
    output: Path | None = None
    verify: bool = True

    @property
    def target(self) -> str:
        """The only target, of a request for a single build."""
        (target,) = self.targets
        return target

    @property
    def task(self) -> str:
        """The only task, of a request for a single build."""
        (task,) = self.tasks
        return task


def _field_names(kind: type, *left_out: str) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind) if each.name not in left_out)


_OF_SOURCE = _field_names(Source, "name")
# The targets are a field of the request, because a request may have several.
_OF_OPTIONS = _field_names(Options, "target")
_OF_REQUEST = _field_names(Request, "source", "options")
# Every option there is, by the name it has in the Python API and in build files. `model` names the source.
OPTIONS = (*_OF_REQUEST, "model", *_OF_SOURCE, *_OF_OPTIONS)
# The kind of word that an option takes, of those whose other words are understood.
_UNDERSTOOD = {"dtype": "dtypes", "target": "targets", "layout": "layouts", "tracer": "tracers"}
# The options that are mappings: those of a command are merged into those of a build file.
_BY_NAME = ("dims", "settings")


def make_request(given: Given) -> Request:
    """Return the request for the options given.

    Raises:
        UsageError: there is no such option, or one of a checkpoint is given without a model.
    """
    unknown = next((name for name in given if name not in OPTIONS), None)
    if unknown is not None:
        raise UsageError(f"there is no option '{unknown}'", help=did_you_mean(unknown, OPTIONS, otherwise="there are"))
    understood = {name: _understand(name, value) for name, value in given.items()}
    return Request(
        source=make_source(given),
        options=Options(**{name: understood[name] for name in _OF_OPTIONS if name in given}),
        **{name: understood[name] for name in _OF_REQUEST if name in given},
    )


def _understand(name: str, value: Any) -> Any:
    """Return the value of an option with names of ours for words that mean the same: ``float16`` for ``fp16``.

    An option that takes several words takes them in one text too: ``onnx,torchscript``.
    """
    if name in ("tasks", "targets"):
        words = [word.strip() for text in value for word in text.split(",")]
        if "" in words:
            option = f"--{name.removesuffix('s')}"
            raise UsageError(f"{option} has a word that is empty: '{','.join(value)}'", help="leave no comma over")
        return tuple(_understand("target", word) if name == "targets" else word for word in words)
    kind = _UNDERSTOOD.get(name)
    return value if kind is None or not isinstance(value, str) else own_name(value, kind)


def make_source(given: Given) -> Source | None:
    """Return the checkpoint that the options given name, or None where there is no ``model`` among them.

    Raises:
        UsageError: an option of a checkpoint is given without a model, such as a revision of nothing.
    """
    of_source = {name: given[name] for name in _OF_SOURCE if name in given}
    model = given.get("model")
    if model is not None:
        return Source(name=str(model), **of_source)
    idle = next((name for name, value in of_source.items() if value not in (None, False)), None)
    if idle is not None:
        raise UsageError(
            f"--{idle.replace('_', '-')} goes with a checkpoint, and none is given", help="add --model, or leave it out"
        )
    return None


def overlay(request: Given, entry: Given) -> dict[str, Any]:
    """Lay the options of a command over those of an entry of a build file. The precedence, from first to last:

    1. An option of the command holds for every entry: ``--task fill-mask`` builds that task alone of each.
    2. An option that the command lacks is the entry's: ``opset: 17`` stays where no ``--opset`` is given.
    3. An option that both lack has its default.

    Three options are joined. ``dims`` and ``settings`` are merged name by name: with ``{batch: 1}`` in the entry,
    ``--dim sequence=128`` fixes both. The ``output`` of an entry is a place below the ``output`` of the command.

    Args:
        request: the options of the command.
        entry: the options of the entry.
    """
    both = {name: {**entry[name], **request[name]} for name in _BY_NAME if name in entry and name in request}
    if "output" in entry and "output" in request:
        both["output"] = request["output"] / entry["output"]
    return {**entry, **request, **both}


def choose_task(spec: Spec, task: TaskSpec, options: Options, target: str = DEFAULT_TARGET) -> Choice:
    """Return the choice that options mean for one task and one target.

    Raises:
        UsageError: it cannot be had; the message gives the reason.
    """
    record = find_target(target)
    refuse_foreign_settings(record, options.settings)
    return choose(spec, task, options, record, find_layout(options.layout).arrangement)


def plan_config(spec: Spec, task: TaskSpec, config: Any, options: Options) -> Plan:
    """Return the plan of a task of a spec for a config, for the default target.

    Raises:
        UsageError: it cannot be had; the message gives the reason.
        SpecError: an expression of the spec does not hold for the config.
    """
    return plan_task(choose_task(spec, task, options), config)


def split_settings(settings: Mapping[str, Any], target: str, targets: Iterable[str]) -> dict[str, Any]:
    """Return the settings for one of several targets: all but those that only its neighbours have.

    ``freeze`` of TorchScript is not given to a torch-export built beside it. A setting that no target has stays, to be
    refused by name.
    """
    record, others = find_target(target), [find_target(name) for name in targets if name != target]
    return {
        name: value
        for name, value in settings.items()
        if record.find_flag(name) is not None or not any(other.find_flag(name) is not None for other in others)
    }
