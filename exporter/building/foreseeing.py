"""What can be said of builds in a moment, before torch and transformers are imported: plans, and why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from exporter.artifacts.refusals import describe_room
from exporter.artifacts.staging import check_place
from exporter.building.estimating import estimate_bytes
from exporter.building.preparing import Prepared, foresee
from exporter.building.requests import Build
from exporter.errors import ExporterError, UsageError, format_bytes
from exporter.models.heads import check_head
from exporter.models.told_config import UntoldError
from exporter.targets.registry import find_target, find_toolchain
from exporter.versions import install_command, is_installed

# What every build imports.
_NEEDED = ("torch", "transformers")
# An estimate counts the weights of other heads too: only where not even this part of it is free is a build refused.
_SURE = 0.5


def foresee_build(build: Build) -> Prepared | None:
    """Return the plan of a build and its checkpoint; None where only transformers can make the plan.

    Raises:
        UsageError, SpecError, CheckpointError: the build cannot be made, as it would say itself.
    """
    if build.choice is None:
        raise AssertionError("a build that was planned knows its choice")
    try:
        return foresee(build.choice, build.checkpoint)
    except UntoldError:
        return None


def find_refusals(build: Build) -> Iterator[ExporterError]:
    """Yield why a build cannot be made, as far as that shows without torch: every reason, and not the first alone."""
    for check in (_check_libraries, _check_toolchain, foresee_build, _check_head, _check_own_place, _check_room):
        try:
            check(build)
        except ExporterError as error:
            yield error


def refuse_early(builds: Iterable[Build]) -> list[tuple[Build, ExporterError]]:
    """Return the builds that cannot be made, each with the first reason, before any work.

    One of several does not stop the others.

    Raises:
        ExporterError: none can be made; the first reason.
    """
    builds = list(builds)
    reasons = [(build, next(find_refusals(build), None)) for build in builds]
    refused = [(build, reason) for build, reason in reasons if reason is not None]
    if refused and len(refused) == len(builds):
        raise refused[0][1]
    return refused


def _check_libraries(_: Build) -> None:
    missing = [name for name in _NEEDED if not is_installed(name)]
    if missing:
        raise UsageError(
            f"nothing can be built without {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not "
            "installed",
            help=f"install what builds need: {install_command('build')}",
        )


def _check_toolchain(build: Build) -> None:
    find_toolchain(find_target(build.request.target), build.request.options.settings)


def _check_head(build: Build) -> None:
    if build.checkpoint is not None and build.choice is not None:
        check_head(build.checkpoint, build.architecture, build.choice.task)


def _check_own_place(build: Build) -> None:
    model = build.checkpoint.whole if build.checkpoint is not None else None
    check_place(build.output, model)


def _check_room(build: Build) -> None:
    """Refuse a build for which there is no room, where that is sure."""
    try:
        prepared = foresee_build(build)
    except ExporterError:
        return  # is told by itself
    needed = estimate_bytes(prepared.plan, prepared.checkpoint) if prepared is not None else None
    free = free_bytes(build.output)
    if needed is not None and free is not None and free < needed * _SURE:
        raise UsageError(
            f"there is no room for the artifact at '{build.output}': it takes about {format_bytes(needed)}; "
            f"{describe_room(build.output)}",
            help="make room there, or give another directory with -o",
        )


def free_bytes(place: Path) -> int | None:
    """Return how much is free where a place is or would be, in bytes; None where nobody can tell."""
    try:
        there = place.absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        return shutil.disk_usage(there).free
    except OSError:
        return None
