"""Specs of a catalogue that somebody asks for: by name, by task, by family, by target, or by a word in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import resolve_task
from exporter.language.spec import WITH_PAST, Spec, TaskSpec

_OTHERWISE = {"architecture": "the architectures are", "family": "the families are"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; what is None or empty asks for nothing.

    Attributes:
        names: architectures.
        task: a task by any of its names. Its form with a cache is the same task here.
        family: the family that specs extend.
        target: a target that the spec does not refuse for the task.
        search: a text in the name, the family, the description or a task.
    """

    names: tuple[str, ...] = ()
    task: str | None = None
    family: str | None = None
    target: str | None = None
    search: str | None = None


def select_specs(specs: Iterable[Spec], asked: Selection) -> list[Spec]:
    """Return the specs that are asked for, each with the tasks that are.

    Raises:
        UsageError: there is no such name, task or family, or nothing is left.
    """
    listed = list(specs)
    for names, given, kind in (
        ({spec.architecture for spec in listed}, asked.names, "architecture"),
        ({spec.family for spec in listed}, (asked.family,) if asked.family else (), "family"),
    ):
        for name in given:
            if name not in names:
                hint = did_you_mean(name, names, otherwise=_OTHERWISE[kind])
                raise UsageError(f"there is no {kind} '{name}' here", help=hint)
    task = resolve_task(asked.task).removesuffix(WITH_PAST) if asked.task else None
    selected: list[Spec] = []
    for spec in listed:
        if (asked.names and spec.architecture not in asked.names) or asked.family not in (None, spec.family):
            continue
        tasks = {name: each for name, each in spec.tasks.items() if _is_asked(spec, each, task, asked)}
        if tasks:
            selected.append(dataclasses.replace(spec, tasks=tasks))
    if not selected:
        raise UsageError("nothing in the catalogue is all that was asked for", help="leave out one of the conditions")
    return selected


def _is_asked(spec: Spec, task: TaskSpec, name: str | None, asked: Selection) -> bool:
    if name is not None and task.name.removesuffix(WITH_PAST) != name:
        return False
    limit = task.targets.get(asked.target) if asked.target is not None else None
    if limit is not None and limit.refused is not None:
        return False
    text = " ".join((spec.architecture, spec.family, spec.description or "", task.name, task.feature)).casefold()
    return asked.search is None or asked.search.casefold() in text
