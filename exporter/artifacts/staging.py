"""An artifact is a directory, made under a temporary name on the file system of its place, and put there whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.artifacts.belongings import find_belongings
from exporter.artifacts.claims import ClaimedError, busy, claim, lock_directory, release, sweep
from exporter.artifacts.refusals import describe_refusal
from exporter.artifacts.swap import NEW, claimable, is_interrupted, repair, swap
from exporter.errors import UsageError, first_line

_ELSEWHERE = "give another directory with -o"
# Directories that this process made above places. One that several builds share goes with the last of them.
_MADE: set[Path] = set()


def check_place(target: Path, checkpoint: Path | None = None) -> None:
    """Check that an artifact can be put at ``target`` before any work is done for it.

    Args:
        target: where the artifact is asked for.
        checkpoint: the directory it is made from; None where it is made from none, or from a hub id.

    Raises:
        UsageError: the place cannot be written, holds something that is not an artifact and would be lost, or is the
            checkpoint's.
    """
    try:
        _check_place(_resolve(target), target)
        if checkpoint is not None and checkpoint.is_dir():
            _check_apart(_resolve(target), target, checkpoint)
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from None


def _check_place(place: Path, target: Path) -> None:
    if os.path.lexists(place) and not place.is_dir():
        raise UsageError(f"the output '{target}' is a file", help="give a directory with -o")
    if place.is_dir() and not is_interrupted(place):
        find_belongings(place)
    parent = place
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise UsageError(f"the output '{target}' cannot be written: '{parent}' is a file", help=_ELSEWHERE)
    if hasattr(os, "pathconf"):
        _check_length(place, parent)
    if not _may_write(parent):
        read_only = bool(os.statvfs(parent).f_flag & os.ST_RDONLY) if hasattr(os, "statvfs") else False
        reason = f"'{parent}' is on a read-only file system" if read_only else f"no permission in '{parent}'"
        raise UsageError(f"the output '{target}' cannot be written: {reason}", help=_ELSEWHERE)


def _check_length(place: Path, parent: Path) -> None:
    """Check that the names of a path, and all of it, are not too long for the file system of its first directory.

    Raises:
        OSError: they are.
    """
    names = place.relative_to(parent).parts
    longest = max((len(os.fsencode(name)) for name in names), default=0)
    if longest > os.pathconf(parent, "PC_NAME_MAX") or len(os.fsencode(place)) > os.pathconf(parent, "PC_PATH_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(place))


def _may_write(directory: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=effective)


def _check_apart(place: Path, target: Path, checkpoint: Path) -> None:
    """Check that neither of a place and a checkpoint lies in the other."""
    source = checkpoint.resolve()
    if place.is_dir() and place.samefile(source):
        raise UsageError(f"the output '{target}' is the checkpoint itself", help=_ELSEWHERE)
    if _lies_in(place, source):
        raise UsageError(
            f"the output '{target}' lies in the checkpoint '{checkpoint}', whose files are copied into it",
            help="give a directory outside the checkpoint with -o",
        )
    if place.is_dir() and _lies_in(source, place):
        raise UsageError(
            f"the checkpoint '{checkpoint}' lies in the output '{target}', whose place the artifact takes",
            help="give a directory without the checkpoint with -o",
        )


def _lies_in(path: Path, directory: Path) -> bool:
    """Return whether a directory is above a path, under whatever name it is mounted or linked there."""
    return any(parent.is_dir() and parent.samefile(directory) for parent in path.parents)


@dataclass(slots=True)
class Staging:
    """An artifact on its way.

    Attributes:
        directory: where it is made.
        remarks: what its reader must know of how it was put in its place, a line each; filled at the end.
    """

    directory: Path
    remarks: tuple[str, ...] = ()


@contextmanager
def staged_artifact(target: Path) -> Iterator[Path]:
    """Give a temporary directory, and put it at ``target`` when the block ends well; else remove it.

    Raises:
        UsageError: the directory cannot be made, another build is writing to the place, or what was made cannot be put
            there; an earlier artifact is still there.
    """
    with stage(target) as staging:
        yield staging.directory


@contextmanager
def stage(target: Path) -> Iterator[Staging]:
    """Do what `staged_artifact` does, and tell what a reader must know of it.

    Raises:
        UsageError: as for `staged_artifact`.
    """
    with ExitStack() as stack:
        try:
            # A link is followed, so that what it points to is replaced and not the link; "." gets its name.
            place = _resolve(target)
            _make_parents(place, stack)
            lock = _hold_place(place, stack, None)
            claimed, name = _claim_for(place, stack)
            staging = Staging(claimed / NEW)
            staging.directory.mkdir()
            # Looked at again after the repair of what an interrupted build had begun.
            find_belongings(place)
        except ClaimedError:
            raise _claimed(target) from None
        except (OSError, ValueError) as error:
            raise _unwritable(target, error) from None
        yield staging
        try:
            _hold_place(place, stack, lock)
            with busy(claimed):
                staging.remarks = swap(claimed, place, name)
        except ClaimedError:
            raise _claimed(target) from None
        except OSError as error:
            reason = describe_refusal(error, place) or first_line(error.strerror or error)
            raise UsageError(
                f"the artifact cannot be put at '{target}': {reason}",
                help="an earlier artifact is still there; see to the directory's permissions, or give another with -o",
            ) from error


def _make_parents(place: Path, stack: ExitStack) -> None:
    """Make the directories above a place; those that this process made and that hold nothing go again at the end."""
    for parent in reversed(place.parents):
        try:
            parent.mkdir()
        except OSError:
            if not parent.is_dir():
                raise
        else:
            _MADE.add(parent)
        if parent in _MADE:
            stack.callback(_remove_empty, parent)


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
        _MADE.discard(directory)


def _hold_place(place: Path, stack: ExitStack, held: int | None) -> int | None:
    """Lock the directory of a place, if it is there, until the stack is closed; ``held`` is a lock that it may have.

    This lock keeps apart builds that claim a directory in the place and builds that claim one beside it.

    Raises:
        ClaimedError: a living build is writing to the place.
    """
    if not place.is_dir() or (held is not None and os.path.samestat(os.fstat(held), place.stat())):
        return held
    lock = lock_directory(place)
    if lock is not None:
        stack.callback(os.close, lock)
    return lock


def _claim_for(place: Path, stack: ExitStack) -> tuple[Path, str | None]:
    """Claim a directory to make an artifact in, until the stack is closed: beside its place, or else in it.

    In it where the place is mounted, or its parent cannot be written, or new files get from it what they do not get
    beside it, such as a group.

    Raises:
        ClaimedError: a living build is writing to the place.
        OSError: the directory cannot be made.
    """
    sweep(place.parent, repair)
    sweep(place, repair)
    beside, inside = claimable(place)
    if not place.is_dir() or _is_like_its_parent(place):
        try:
            return _claim(beside, stack)
        except PermissionError:
            if not place.is_dir():
                raise
    return _claim(inside, stack)


def _claim(where: tuple[Path, str | None], stack: ExitStack) -> tuple[Path, str | None]:
    claim(where[0], repair)
    stack.callback(release, where[0])
    return where


def _is_like_its_parent(place: Path) -> bool:
    """Return whether a directory made beside a place is on its mount and hands the same group to new files."""
    parent = place.parent
    if not _may_write(parent) or _mount(place) != _mount(parent):
        return False
    own, other = place.stat(), parent.stat()
    inherits = 0o2000
    if own.st_mode & inherits != other.st_mode & inherits:
        return False
    return not own.st_mode & inherits or own.st_gid == other.st_gid


def _mount(directory: Path) -> str:
    """Return what tells the mount of a directory from others: two mounts of one file system differ."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        with Path(f"/proc/self/fdinfo/{opened}").open(encoding="ascii") as lines:
            return next(line for line in lines if line.startswith("mnt_id:"))
    except (OSError, StopIteration):
        return str(directory.stat().st_dev)
    finally:
        os.close(opened)


def _resolve(target: Path) -> Path:
    """Return the path without links; a link to what is not there gives the place it names.

    Raises:
        OSError: links lead in a circle, or the current directory is gone.
    """
    try:
        return target.resolve()
    except RuntimeError as error:  # a circle, before Python 3.13
        raise OSError(first_line(error)) from None


def _claimed(target: Path) -> UsageError:
    return UsageError(
        f"another build is writing to the output '{target}'",
        help="wait until it has ended, or give another directory with -o",
    )


def _unwritable(target: Path, error: OSError | ValueError) -> UsageError:
    reason = describe_refusal(error, target) or first_line(getattr(error, "strerror", None) or error)
    return UsageError(f"the output '{target}' cannot be written: {reason}", help=_ELSEWHERE)
