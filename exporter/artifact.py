"""What was written: ``manifest.json``, and the swap that puts an artifact in its place.

An artifact is a directory. It is made beside its place under a temporary name and swapped in whole, so that whoever
looks sees the old artifact, the new one, or none, and never a part of one.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from exporter.checkpoints.directory import Checkpoint, digest_file
from exporter.diagnostics import ExportError, UsageError
from exporter.planning import Plan
from exporter.targets import find_target, lasting_settings

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
# The model card is for people, who edit it: no digest holds them to our text, and one without our mark is theirs and is kept.
CARD = "README.md"
CARD_MARK = "<!-- Written by exporter, and anew by every build. Remove this line to keep the text as it is. -->"
# The versions that shape a graph's bytes or its verdict.
PACKAGES = ("exporter", "torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy")
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.exporter-(?P<pid>\d+)\.tmp(-old)?\Z")
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def write_manifest(
    directory: Path, plan: Plan, checkpoint: Checkpoint, *, is_reference: bool, report: Mapping[str, Any] | None
) -> None:
    """Write ``manifest.json``: what the artifact is, what it was made from and how, and a digest of every file in it.

    It holds no time and no path, so that equal builds give equal bytes.
    """
    target = find_target(plan.target)
    data = {
        "manifest_version": MANIFEST_VERSION,
        "architecture": plan.architecture,
        "task": plan.task,
        "source": {
            "kind": "reference" if is_reference else "checkpoint",
            "name": None
            if is_reference
            else checkpoint.path.resolve().name
            if checkpoint.commit is None
            else checkpoint.name,
            "commit": checkpoint.commit,
            "files": checkpoint.digests(),
        },
        "versions": {name: _version(name) for name in (*PACKAGES, *target.packages(plan.settings))},
        "plan": dataclasses.replace(plan, settings=lasting_settings(target, plan.settings)).to_data(),
        "report": report,
        "files": {
            path.relative_to(directory).as_posix(): {"sha256": digest_file(path), "bytes": path.stat().st_size}
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path != directory / CARD
        },
    }
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    (directory / MANIFEST).write_text(text + "\n", "utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of an artifact.

    Raises:
        UsageError: the directory is no artifact of ours, or of a newer version.
    """
    path = directory / MANIFEST
    if not path.is_file():
        what = "has no manifest.json" if directory.is_dir() else "does not exist"
        raise UsageError(
            f"'{directory}' is not an artifact: it {what}", help="give a directory that 'exporter build' wrote"
        )
    try:
        data = json.loads(path.read_text("utf-8"))
        found = data["manifest_version"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        raise _not_a_manifest(path) from None
    if found != MANIFEST_VERSION:
        raise UsageError(
            f"'{path}' has manifest version {found}; this exporter reads {MANIFEST_VERSION}",
            help="build the artifact again",
        )
    manifest: dict[str, Any] = data
    return manifest


def read_plan(directory: Path) -> Plan:
    """Return the plan an artifact was built from.

    Raises:
        UsageError: the directory is no artifact of ours, or its manifest was damaged.
    """
    manifest = read_manifest(directory)
    try:
        plan = Plan.from_data(manifest["plan"])
        for entry in manifest["files"].values():
            _ = (entry["sha256"], entry["bytes"])
        _ = manifest["source"]["files"].items()
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _not_a_manifest(directory / MANIFEST) from None
    return plan


def _not_a_manifest(path: Path) -> UsageError:
    return UsageError(f"'{path}' is not a manifest of exporter", help="build the artifact again")


def changed_files(directory: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that is missing or has other bytes than when it was built."""
    for name, entry in manifest["files"].items():
        path = directory / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != entry["bytes"] or digest_file(path) != entry["sha256"]:
            yield f"{name} has changed since it was built"


def check_place(target: Path) -> None:
    """Check that an artifact can be put at ``target`` before any work is done for it.

    Raises:
        UsageError: the place cannot be written, or holds something that is not an artifact and would be lost.
    """
    try:
        _check_place(target)
    except OSError as error:
        raise UsageError(
            f"the output '{target}' cannot be written: {error.strerror}", help="give another directory with -o"
        ) from None


def _check_place(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"the output '{target}' is a file", help="give a directory with -o")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise UsageError(
            f"the output '{target}' is not empty and was not written by exporter",
            help="give an empty or a new directory with -o",
        )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        reason = f"no permission in '{parent}'" if parent.is_dir() else f"'{parent}' is a file"
        raise UsageError(
            f"the output '{target}' cannot be written: {reason}",
            help="give another directory with -o",
        )


@contextmanager
def staged_artifact(target: Path) -> Iterator[Path]:
    """Give a temporary directory beside ``target`` and swap it in when the block ends well; else remove it.

    Raises:
        UsageError: the directory cannot be made.
        ExportError: what was made cannot be put in its place; the earlier artifact is still there.
    """
    # A link is followed, so that what it points to is replaced and not the link; "." gets its name.
    target = target.resolve()
    staging = target.parent / f".{target.name}.exporter-{os.getpid()}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target.parent)
        staging.mkdir()
    except OSError as error:
        raise UsageError(
            f"the output '{target}' cannot be written: {error.strerror}", help="give another directory with -o"
        ) from None
    try:
        yield staging
        try:
            _swap(staging, target)
        except OSError as error:
            raise ExportError(f"the artifact cannot be put at '{target}': {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    """Put ``staging`` at ``target`` in one step; afterwards ``staging`` holds what was there before."""
    if not target.exists():
        staging.rename(target)
        return
    _keep_foreign(target, staging)
    if not _exchange(staging, target):
        aside = staging.with_name(staging.name + "-old")
        target.rename(aside)
        try:
            staging.rename(target)
        except OSError:
            aside.rename(target)
            raise
        aside.rename(staging)


def _keep_foreign(target: Path, staging: Path) -> None:
    """Carry over what somebody put into the old artifact: whatever its manifest does not name."""
    old = set(read_manifest(target)["files"]) | {MANIFEST} if (target / MANIFEST).is_file() else set()
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target)
        if not path.is_file() or name.as_posix() in old:
            continue
        if name.as_posix() == CARD and not _is_our_card(path):
            (staging / name).unlink(missing_ok=True)
        if not (staging / name).exists():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, staging / name)


def _is_our_card(path: Path) -> bool:
    return CARD_MARK.encode() in path.read_bytes()


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories atomically where the system can (Linux); return whether it did."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _remove_stale(parent: Path) -> None:
    """Remove what killed builds left behind."""
    for path in parent.iterdir():
        match = _TEMPORARY.match(path.name)
        if match is not None and not _is_running(int(match["pid"])):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
