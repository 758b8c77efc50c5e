"""An artifact is a directory, made beside its place under a temporary name and swapped in whole."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.artifacts.manifest import CARD, CARD_MARK, MANIFEST, read_manifest
from exporter.errors import ExportError, UsageError, first_line

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.exporter-(?P<pid>\d+)\.tmp(-old)?\Z")
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def check_place(target: Path) -> None:
    """Check that an artifact can be put at ``target`` before any work is done for it.

    Raises:
        UsageError: the place cannot be written, or holds something that is not an artifact and would be lost.
    """
    try:
        _check_place(target)
    except OSError as error:
        raise UsageError(
            f"the output '{target}' cannot be written: {first_line(error.strerror or error)}",
            help="give another directory with -o",
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
            f"the output '{target}' cannot be written: {first_line(error.strerror or error)}",
            help="give another directory with -o",
        ) from None
    try:
        yield staging
        try:
            _swap(staging, target)
        except OSError as error:
            raise ExportError(
                f"the artifact cannot be put at '{target}': {first_line(error.strerror or error)}"
            ) from error
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
    ours = set(read_manifest(target)["files"]) | {MANIFEST} if (target / MANIFEST).is_file() else set()
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target)
        if not path.is_file() or name.as_posix() in ours:
            continue
        if name.as_posix() == CARD and not _is_our_card(path):
            (staging / name).unlink(missing_ok=True)
        if not (staging / name).exists():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, staging / name)


def _is_our_card(path: Path) -> bool:
    return CARD_MARK.encode() in path.read_bytes()


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two directories atomically where the system can (Linux); return whether it did."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


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
