"""What a build would do, without doing it: the files it reads, the plan, the place, and why it cannot be done."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifacts.manifest import read_manifest
from exporter.artifacts.refusals import directory_size
from exporter.building.durations import Duration, find_duration
from exporter.building.estimating import estimate_bytes, source_files, weight_bytes
from exporter.building.foreseeing import find_refusals, foresee_build, free_bytes
from exporter.building.request import Given
from exporter.building.requests import Build, plan_builds
from exporter.errors import ExporterError, UsageError
from exporter.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact goes.

    Attributes:
        directory: the directory.
        holds: what is there today: ``nothing``, ``an artifact``, ``files`` or ``a file``.
        artifact: architecture, task, opset and dtype of an artifact that is there.
        bytes: the size of what is there.
        free: how much is free on its file system, in bytes.
    """

    directory: Path
    holds: str
    artifact: Mapping[str, Any] | None
    bytes: int
    free: int | None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A build that was looked at.

    Attributes:
        title: what is asked for: architecture and task, or the entry of a build file.
        build: the build; None where there is none, because what is asked for cannot be had.
        plan: its plan; None where there is none, or transformers has to make it.
        files: the files of its checkpoint, with their sizes in bytes.
        weights: the size of the files with weights, in bytes; None for a reference.
        size: about how large the artifact will be, in bytes; None where nobody can tell.
        place: where it goes.
        last: how it went last time.
        refusals: why it cannot be made.
    """

    title: str
    build: Build | None = None
    plan: Plan | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    weights: int | None = None
    size: int | None = None
    place: Place | None = None
    last: Duration | None = None
    refusals: tuple[ExporterError, ...] = ()


def dry_run(names: Iterable[str], given: Given) -> list[Foreseen]:
    """Look at the builds that are asked for, and at what is asked for and cannot be built; raise and write nothing.

    Args:
        names: specs, architectures, directories of specs, or build files.
        given: the options, as for a build.
    """
    refused: list[Foreseen] = []
    builds = plan_builds(names, given, lambda title, error: refused.append(Foreseen(title, refusals=(error,))))
    return [*map(look_at, builds), *refused]


def look_at(build: Build) -> Foreseen:
    """Return what can be said of a build without torch and transformers."""
    refusals = list(find_refusals(build))
    prepared = None
    with contextlib.suppress(ExporterError):  # it is among the refusals
        prepared = foresee_build(build)
    checkpoint = (prepared.checkpoint if prepared is not None else None) or build.checkpoint
    plan = prepared.plan if prepared is not None else None
    size = estimate_bytes(plan, checkpoint) if plan is not None else None
    place = look_at_place(build.output)
    last = find_duration(build.request)
    return Foreseen(
        title=f"{build.architecture} {build.task}",
        build=build,
        plan=plan,
        files=source_files(checkpoint) if checkpoint is not None else {},
        weights=weight_bytes(checkpoint) if checkpoint is not None else None,
        size=size if size is not None else last.bytes if last is not None else None,
        place=place,
        last=last,
        refusals=tuple(refusals),
    )


def look_at_place(directory: Path) -> Place:
    """Return what is where an artifact goes."""
    holds, artifact, size = "nothing", None, 0
    try:
        if directory.is_dir():
            artifact = _artifact_in(directory)
            holds = "an artifact" if artifact is not None else "files" if any(directory.iterdir()) else "nothing"
            size = directory_size(directory)
        elif directory.exists():
            holds, size = "a file", directory.stat().st_size
    except OSError:
        holds = "files"  # that nobody may look at
    return Place(directory, holds, artifact, size, free_bytes(directory))


def _artifact_in(directory: Path) -> dict[str, Any] | None:
    try:
        manifest = read_manifest(directory)
        plan = manifest["plan"]
        found = {
            "architecture": manifest["architecture"],
            "task": manifest["task"],
            "opset": plan["recording"]["opset"],
            "dtype": plan["model"]["dtype"],
        }
        json.dumps(found)
    except (UsageError, KeyError, TypeError, ValueError):
        return None
    return found
