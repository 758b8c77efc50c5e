"""``manifest.json``: what an artifact is, what it was made from and how, and a digest of every file in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import UsageError
from exporter.models.checkpoints import Checkpoint, LeftBehind, digest_file
from exporter.planning.plan import Plan
from exporter.planning.target import lasting_settings
from exporter.targets.registry import find_target
from exporter.versions import installed_version

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2
# People edit the model card, so the manifest has no digest of it. A card without our mark is somebody else's: builds
# keep it.
CARD = "README.md"
CARD_MARK = "<!-- Written by exporter, and anew by every build. Remove this line to keep the text as it is. -->"
# The versions that shape a graph's bytes or its verdict.
PACKAGES = ("exporter", "torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy")


def write_manifest(
    directory: Path,
    plan: Plan,
    checkpoint: Checkpoint,
    report: Mapping[str, Any] | None,
    left: Iterable[LeftBehind] = (),
) -> None:
    """Write ``manifest.json``: what the artifact is, what it was made from and how, and a digest of every file in it.

    It holds no time and no path, so that equal builds give equal bytes.

    Args:
        directory: the artifact.
        plan: what was built.
        checkpoint: what it was built from.
        report: the summary of a report; None where nothing was verified.
        left: the files of the checkpoint that are not in the artifact.
    """
    target = find_target(plan.recording.target)
    settings = lasting_settings(target, plan.recording.settings)
    lasting = dataclasses.replace(plan, recording=dataclasses.replace(plan.recording, settings=settings))
    data = {
        "manifest_version": MANIFEST_VERSION,
        "architecture": plan.model.architecture,
        "task": plan.task,
        "source": {
            "kind": "reference" if plan.model.is_reference else "checkpoint",
            "name": None if plan.model.is_reference else _public_name(checkpoint),
            "commit": checkpoint.commit,
            "files": checkpoint.digests(),
            "remarks": list(checkpoint.remarks),
            "left_behind": {item.name: item.reason for item in left},
        },
        "versions": {name: installed_version(name) for name in (*PACKAGES, *target.packages(plan.recording.settings))},
        "plan": lasting.to_data(),
        "report": report,
        "files": {
            path.relative_to(directory).as_posix(): {"sha256": digest_file(path), "bytes": path.stat().st_size}
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path != directory / CARD
        },
    }
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    (directory / MANIFEST).write_text(text + "\n", "utf-8")


def _public_name(checkpoint: Checkpoint) -> str:
    """Return the hub id of a checkpoint, or the name of its directory: where that is, is nobody's business."""
    return checkpoint.whole.resolve().name if checkpoint.commit is None else checkpoint.name


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of an artifact.

    Raises:
        UsageError: the directory is no artifact of ours, or of a newer version.
    """
    path = directory / MANIFEST
    if not path.is_file():
        reason = "has no manifest.json" if directory.is_dir() else "does not exist"
        raise UsageError(
            f"'{directory}' is not an artifact: it {reason}", help="give a directory that 'exporter build' wrote"
        )
    try:
        data = json.loads(path.read_text("utf-8"))
        manifest_version = data["manifest_version"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        raise _not_a_manifest(path) from None
    if manifest_version != MANIFEST_VERSION:
        raise UsageError(
            f"'{path}' has manifest version {manifest_version}; this exporter reads {MANIFEST_VERSION}",
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
