"""Put a finished artifact in its place: in one step where that loses nothing, else file by file with a journal.

Two directories can be exchanged in one step. It is done where the old directory holds an artifact and nothing else, and
is in all else like the new one. In every other case the directory stays, with its mode, its owner and all in it that
is not ours, and only files of ours leave and enter it: a mount point, a git work tree, a directory whose parent cannot
be written. What is about to move is written down first, so that whoever comes after a crash can bring the earlier
artifact back, or finish where only the last step was missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import filecmp
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from exporter import records
from exporter.artifacts.belongings import find_belongings, find_foreign, is_safe_name
from exporter.artifacts.claims import claim_name
from exporter.artifacts.manifest import CARD, MANIFEST

# In a claimed directory: the artifact that is made, the files of the earlier one, and what is about to move.
NEW, OLD, JOURNAL = "new", "old", "journal.json"
_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Journal:
    """What a swap moves, by relative POSIX paths.

    Attributes:
        place: the name of the artifact's directory beside the claimed one; None where the claimed one lies in it.
        exchanged: the inode of the earlier artifact's directory, where it is exchanged with the new one; None where
            the files below move one by one.
        outgoing: files of the earlier artifact, the manifest first.
        incoming: files of the new artifact, the manifest last.
        aside: somebody's files in the way of the new artifact's, and the names they get.
    """

    place: str | None
    exchanged: int | None = None
    outgoing: tuple[str, ...] = ()
    incoming: tuple[str, ...] = ()
    aside: dict[str, str] = field(default_factory=dict)


def swap(claimed: Path, target: Path, place: str | None) -> tuple[str, ...]:
    """Put ``claimed/new`` at ``target``; return what its reader must know, a line each.

    Args:
        claimed: the directory that was claimed for the build. What leaves the target is in it afterwards.
        target: the place of the artifact; a directory, or not there.
        place: the name of the target beside ``claimed``; None where ``claimed`` lies in the target.

    Raises:
        OSError: it cannot be done; the earlier artifact is in its place.
        UsageError: the target has come to hold what is not an artifact.
    """
    new = claimed / NEW
    if not os.path.lexists(target):
        new.rename(target)
        return ()
    if place is not None and _is_alike(target, new):
        _write_journal(claimed, Journal(place, exchanged=target.stat().st_ino))
        if _rename(new, target, _RENAME_EXCHANGE):
            rescue(new, target)
            return ()
    journal, remarks = _plan(claimed, target, place)
    _write_journal(claimed, journal)
    try:
        _apply(journal, claimed, target)
    except BaseException:
        _undo(journal, claimed, target)
        raise
    _finish(journal, target)
    return remarks


def repair(claimed: Path) -> None:
    """Finish or undo the swap that a killed process had begun, by the journal in its claimed directory.

    Raises:
        OSError: a file cannot be moved.
    """
    journal = read_journal(claimed)
    if journal is None:
        return
    target = claimed.parent if journal.place is None else claimed.parent / journal.place
    _check_ways(journal, claimed, target)
    if journal.exchanged is not None:
        # Before the exchange the directory there is the new artifact, which is given up.
        if (claimed / NEW).is_dir() and (claimed / NEW).stat().st_ino == journal.exchanged:
            rescue(claimed / NEW, target)
    elif journal.incoming and not os.path.lexists(claimed / NEW / journal.incoming[-1]):
        _finish(journal, target)
    else:
        _undo(journal, claimed, target)


def is_interrupted(directory: Path) -> bool:
    """Return whether a swap file by file has begun in a directory and has not ended."""
    journals = [read_journal(claimed) for claimed, _ in claimable(directory)]
    return any(journal is not None and journal.exchanged is None for journal in journals)


def claimable(target: Path) -> tuple[tuple[Path, str | None], tuple[Path, str | None]]:
    """Return the directories that a build of a resolved place may claim, and the place's name beside each.

    The first lies beside the place, the second in it. Their names follow from the place: two builds of one place want
    the same.
    """
    return (target.parent / claim_name(os.fsencode(target.name)), target.name), (target / claim_name(b"."), None)


def read_journal(claimed: Path) -> Journal | None:
    """Return the journal in a claimed directory; None where nothing was about to move, or nothing of it can be read."""
    path = claimed / JOURNAL
    try:
        if path.is_symlink():
            return None
        journal: Journal = records.from_data(Journal, json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    names = (*journal.outgoing, *journal.incoming, *journal.aside, *journal.aside.values())
    is_beside = journal.place is None or (is_safe_name(journal.place) and "/" not in journal.place)
    return journal if is_beside and all(map(is_safe_name, names)) else None


def _check_ways(journal: Journal, claimed: Path, target: Path) -> None:
    """Check that no link leads a file of a journal out of its directory.

    Raises:
        OSError: one does, so that the journal was written by somebody else.
    """
    for root, names in (
        (claimed / NEW, journal.incoming),
        (claimed / OLD, journal.outgoing),
        (target, (*journal.incoming, *journal.outgoing, *journal.aside, *journal.aside.values())),
    ):
        for folder in {root, *(root / parent for name in names for parent in PurePosixPath(name).parents)}:
            if folder.is_symlink():
                raise OSError(errno.ELOOP, "a link lies in the way", str(folder))


def rescue(old: Path, target: Path) -> None:
    """Move what somebody put into the earlier artifact, while it was being exchanged, into the new one."""
    names = find_belongings(old).names if (old / MANIFEST).is_file() else None
    for name in list(find_foreign(old, names)) if names is not None else ():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _move(old / name, path if not os.path.lexists(path) else _free_name(path))


def _is_alike(target: Path, new: Path) -> bool:
    """Return whether an exchange changes nothing but the artifact."""
    try:
        if _is_current(target) or not (target.is_dir() and _attributes(target) == _attributes(new)):
            return False
        belongings = find_belongings(target)
        if belongings.is_damaged or any(True for _ in find_foreign(target, belongings.names)):
            return False
        folders = {target / parent for name in belongings.names for parent in PurePosixPath(name).parents[:-1]}
        # A directory of ours with another mode than new ones have was given it by somebody.
        return all(folder.stat().st_mode == new.stat().st_mode for folder in folders)
    except OSError:
        return False


def _is_current(target: Path) -> bool:
    """Return whether the process works in a directory, or below: its shell would be left in one that is gone."""
    try:
        current = Path.cwd()
    except OSError:
        return False
    return any(target.samefile(path) for path in (current, *current.parents))


def _attributes(directory: Path) -> tuple[Any, ...]:
    details = directory.stat()
    extended: dict[str, bytes] = {}
    if hasattr(os, "listxattr"):
        try:
            extended = {name: os.getxattr(directory, name) for name in os.listxattr(directory)}
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
                raise
    return details.st_mode, details.st_uid, details.st_gid, extended


def _plan(claimed: Path, target: Path, place: str | None) -> tuple[Journal, tuple[str, ...]]:
    """Decide what moves, and what is said about it."""
    belongings = find_belongings(target)
    incoming = _files(claimed / NEW)
    outgoing = set(belongings.names)
    aside: dict[str, str] = {}
    for name in list(incoming):
        for obstacle in _obstacles(target, name, belongings.names):
            if obstacle == CARD:
                # A card without our mark is somebody's text, and stays in place of ours.
                incoming.remove(CARD)
            elif obstacle == name and _is_replaceable(target / name, claimed / NEW / name):
                outgoing.add(name)
            elif obstacle not in aside:
                aside[obstacle] = _free_name(target / obstacle).relative_to(target).as_posix()
    remarks = [f"'{name}' was in the way of a new file and is kept as '{kept}'" for name, kept in aside.items()]
    if belongings.is_damaged:
        remarks.insert(0, f"the earlier {MANIFEST} was damaged: files that it named cannot be told, and are kept")
    journal = Journal(
        place,
        outgoing=tuple(sorted(outgoing, key=lambda name: (name != MANIFEST, name))),
        incoming=tuple(sorted(incoming, key=lambda name: (name == MANIFEST, name))),
        aside=aside,
    )
    return journal, tuple(remarks)


def _files(directory: Path) -> list[str]:
    paths = (Path(place) / file for place, _, files in os.walk(directory) for file in files)
    return [path.relative_to(directory).as_posix() for path in paths]


def _obstacles(target: Path, name: str, ours: frozenset[str]) -> Iterator[str]:
    """Yield what is in the way of a file and not ours: something in place of a directory, or of the file itself."""
    for parent in reversed(PurePosixPath(name).parents[:-1]):
        path = target / parent
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
            if parent.as_posix() not in ours:
                yield parent.as_posix()
            return
    path = target / name
    if not os.path.lexists(path) or name in ours:
        return
    if path.is_dir() and not path.is_symlink():
        inside = frozenset(each.removeprefix(f"{name}/") for each in ours if each.startswith(f"{name}/"))
        if inside and not any(True for _ in find_foreign(path, inside)):
            return  # a directory of ours, which goes with its files
    yield name


def _is_replaceable(path: Path, new: Path) -> bool:
    """Return whether nothing is lost where a file takes the place of another: they are the same, or it is blank."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    return path.stat().st_size == 0 or filecmp.cmp(path, new, shallow=False)


def _free_name(path: Path) -> Path:
    """Return a name beside ``path`` that nothing has: ``model.onnx.kept``, ``model.onnx.kept2``, …"""
    stem = os.fsdecode(os.fsencode(path.name)[:_MAX_NAME])
    number = 1
    while os.path.lexists(free := path.with_name(f"{stem}.kept{number if number > 1 else ''}")):
        number += 1
    return free


def _write_journal(claimed: Path, journal: Journal) -> None:
    """Write a journal whole, and to the disk, before anything moves."""
    draft = claimed / f"{JOURNAL}.draft"
    with draft.open("w", encoding="ascii") as file:
        json.dump(records.to_data(journal), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(claimed / JOURNAL)


def _apply(journal: Journal, claimed: Path, target: Path) -> None:
    for name, kept in journal.aside.items():
        _move(target / name, target / kept)
    for name in journal.outgoing:
        _make_parents(claimed / OLD, name)
        _move(target / name, claimed / OLD / name)
    for name in journal.incoming:
        if (target / name).is_dir():
            _remove_emptied(target / name)
        _make_parents(target, name)
        _move(claimed / NEW / name, target / name)


def _undo(journal: Journal, claimed: Path, target: Path) -> None:
    """Bring the earlier artifact back, from wherever `_apply` has come to. What is done already is left as it is."""
    for name in reversed(journal.incoming):
        if not os.path.lexists(claimed / NEW / name) and os.path.lexists(target / name):
            _make_parents(claimed / NEW, name)
            _move(target / name, claimed / NEW / name)
    _remove_folders(target, journal.incoming)
    for name in reversed(journal.outgoing):
        if os.path.lexists(claimed / OLD / name):
            _make_parents(target, name)
            _move(claimed / OLD / name, target / name)
    for name, kept in journal.aside.items():
        if os.path.lexists(target / kept) and not os.path.lexists(target / name):
            _move(target / kept, target / name)
    (claimed / JOURNAL).unlink(missing_ok=True)


def _finish(journal: Journal, target: Path) -> None:
    _remove_folders(target, journal.outgoing)


def _remove_folders(target: Path, names: tuple[str, ...]) -> None:
    """Remove the directories in which files of ours lay and nothing is left."""
    folders = {parent for name in names for parent in PurePosixPath(name).parents[:-1]}
    for folder in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):
            (target / folder).rmdir()


def _remove_emptied(folder: Path) -> None:
    """Remove a directory that holds directories and nothing else: the files of ours in it have left."""
    for place, _, _ in os.walk(folder, topdown=False):
        Path(place).rmdir()


def _make_parents(directory: Path, name: str) -> None:
    (directory / name).parent.mkdir(parents=True, exist_ok=True)


def _move(path: Path, other: Path) -> None:
    """Rename a file; nothing that has the other name is replaced.

    Raises:
        FileExistsError: something has the other name.
        OSError: it cannot be renamed.
    """
    if _rename(path, other, _RENAME_NOREPLACE):
        return
    if os.path.lexists(other):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(other))
    path.rename(other)


def _rename(path: Path, other: Path, how: int) -> bool:
    """Rename as only Linux can; return whether it was done."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), how) == 0)
