"""``manifest.json``: what an artifact is, what it was made from and how, and a digest of every file in it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from exporter.errors import UsageError, first_line
from exporter.models.checkpoints import Checkpoint, LeftBehind, digest_file
from exporter.planning.plan import Plan
from exporter.planning.ranges import check_file, check_plan
from exporter.planning.target import check_values, lasting_settings
from exporter.targets.registry import find_target
from exporter.versions import installed_version

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2
# People edit the model card, so the manifest has no digest of it. A card without our mark is somebody else's: builds
# keep it.
CARD = "README.md"
CARD_MARK = "<!-- Written by exporter, and anew by every build. Remove this line to keep the text as it is. -->"
# A manifest of some thousand tensors has a few megabytes.
MANIFEST_LIMIT = 64 << 20
# What a manifest has; a key beside these is passed over, and `unknown_keys` names it.
KEYS = ("manifest_version", "architecture", "task", "source", "versions", "plan", "report", "files")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# The versions that shape a graph's bytes or its verdict.
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy")


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
            "adapter": _describe_adapter(checkpoint),
            "left_behind": {item.name: item.reason for item in left},
        },
        "versions": {
            "exporter": installed_version(),
            **{name: installed_version(name) for name in (*PACKAGES, *target.packages(plan.recording.settings))},
        },
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
    adapter = checkpoint.adapter
    if adapter is not None:
        return adapter.path.resolve().name if adapter.commit is None else adapter.name
    return checkpoint.whole.resolve().name if checkpoint.commit is None else checkpoint.name


def _describe_adapter(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Return which adapter was merged, how, and into which base; None where there was none."""
    adapter = checkpoint.adapter
    if adapter is None:
        return None
    return {
        "name": _public_name(checkpoint),
        "commit": adapter.commit,
        "method": adapter.method,
        "base": _public_name(dataclasses.replace(checkpoint, adapter=None, name=adapter.base)),
        "base_commit": checkpoint.commit,
    }


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of an artifact: a mapping with a version of ours, and nothing more is known of it.

    Raises:
        UsageError: the directory is no artifact of ours, or of a newer version.
    """
    path = directory / MANIFEST
    try:
        present, size = path.is_file(), path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError):
        present, size = False, 0
    if not present:
        reason = "has no manifest.json" if directory.is_dir() else "does not exist"
        is_checkpoint = directory.is_dir() and (directory / "config.json").is_file()
        first = f"; this is a checkpoint: exporter build --model {directory}" if is_checkpoint else ""
        raise UsageError(
            f"'{directory}' is not an artifact: it {reason}",
            help=f"give a directory that 'exporter build' wrote{first}",
        )
    if size > MANIFEST_LIMIT:
        raise _not_a_manifest(path, f"it has {size} bytes")
    try:
        data = json.loads(path.read_text("utf-8"), object_pairs_hook=_mapping, parse_constant=_refuse_constant)
        manifest_version = data["manifest_version"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise _not_a_manifest(path, _reason(error)) from None
    if manifest_version != MANIFEST_VERSION or isinstance(manifest_version, bool):
        raise UsageError(
            f"'{path}' has manifest version {manifest_version!r:.40}; this exporter reads {MANIFEST_VERSION}",
            help="build the artifact again",
        )
    manifest: dict[str, Any] = data
    return manifest


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, whose keys may come once: of a key given twice, readers differ in which value they take."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in mapping if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} is there twice")
    return mapping


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_plan(directory: Path) -> Plan:
    """Return the plan an artifact was built from, whose names and numbers may be acted on.

    A manifest may come from a stranger: the plan is checked by `exporter.planning.ranges.check_plan`, its target is one
    of ours, with the settings and the files that target has, and every file is named below the directory.

    Raises:
        UsageError: the directory is no artifact of ours, or its manifest was damaged or is none we would write.
    """
    manifest = read_manifest(directory)
    with _refusing(directory):
        plan = Plan.from_data(manifest["plan"])
        check_plan(plan)
        _check_target(plan)
        _check_entries(manifest)
    return plan


def check_files(directory: Path, manifest: Mapping[str, Any], plan: Plan) -> None:
    """Check that the files of an artifact are in it: every graph is among them, and no link leaves the directory.

    Raises:
        UsageError: one is not.
    """
    with _refusing(directory):
        missing = [file for graph in plan.graphs for file in graph.files if file not in manifest["files"]]
        if missing:
            raise ValueError(f"the graph '{missing[0]}' is not among its files")
        _check_links(directory, manifest)


@contextmanager
def _refusing(directory: Path) -> Iterator[None]:
    """Refuse a manifest in the terms of its user where its data is not what it has to be."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OSError) as error:
        raise _not_a_manifest(directory / MANIFEST, _reason(error)) from None
    except UsageError as error:
        raise _not_a_manifest(directory / MANIFEST, error.message) from None


def _check_target(plan: Plan) -> None:
    """Check that a plan's target is one of ours, and that the files of its graphs are those the target writes."""
    target, settings = find_target(plan.recording.target), plan.recording.settings
    check_values(target, settings)
    for graph in plan.graphs:
        if not graph.file.endswith(target.suffix) or graph.files != target.files(graph.file, settings):
            raise ValueError(f"the target {target.name} writes no graph as {', '.join(graph.files)[:200]}")
    if (plan.recording.opset is None) != (not target.opsets):
        raise ValueError(f"the target {target.name} {'has an' if target.opsets else 'has no'} opset")


def _check_entries(manifest: Mapping[str, Any]) -> None:
    """Check the entries of the files and of the sources."""
    files = manifest["files"]
    for name, entry in files.items():
        check_file(name)
        digest, size = entry["sha256"], entry["bytes"]
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"the file '{name}' has no SHA-256")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"the file '{name}' has the size {size!r:.40}")
    for name, digest in manifest["source"]["files"].items():
        if not isinstance(digest, str):
            raise ValueError(f"the source {name[:80]!r} has no SHA-256")


def _check_links(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Check that no file is a link to a place outside the artifact.

    The cache of a hub keeps an artifact as links from ``snapshots/<commit>`` to its own ``blobs``, which is fine.
    """
    root = directory.resolve()
    allowed = [root, *(parent.parent / "blobs" for parent in root.parents if parent.name == "snapshots")]
    for name in (*manifest["files"], MANIFEST, CARD):
        place = (directory / name).resolve()
        if not any(place.is_relative_to(parent) for parent in allowed):
            raise ValueError(f"the file '{name}' is a link that leaves the artifact")


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it has no {first_line(error)}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, AttributeError):
        return "something in it is no mapping"
    return first_line(error)


def _not_a_manifest(path: Path, reason: str) -> UsageError:
    return UsageError(f"'{path}' is not a manifest of exporter: {reason}", help="build the artifact again")


def unknown_keys(manifest: Mapping[str, Any]) -> list[str]:
    """Return the keys of a manifest that mean nothing to this exporter."""
    return sorted(set(manifest) - set(KEYS))


def unnamed_files(directory: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the files in an artifact that its manifest does not name, beside the manifest itself and the card."""
    known = {*manifest["files"], MANIFEST, CARD}
    present = (path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir())
    return sorted(name for name in present if name not in known)


def changed_files(directory: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that is missing or has other bytes than when it was built."""
    for name, entry in manifest["files"].items():
        path = directory / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != entry["bytes"] or digest_file(path) != entry["sha256"]:
            yield f"{name} has changed since it was built"
