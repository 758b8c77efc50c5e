"""Copy the companions of a checkpoint into an artifact, without putting one in the place of a file of the artifact."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from exporter.artifacts.manifest import CARD, CARD_MARK, MANIFEST
from exporter.errors import CheckpointError, ExportError, first_line
from exporter.models.checkpoints import Companions, LeftBehind

# Where the checkpoint's own card goes, since ours has its name.
THEIR_CARD = "README.checkpoint.md"
OURS = "names that the artifact gives to files of its own"
_BLOCK = 1 << 24
_VECTORS = "test_data_set_*"


def copy_companions(companions: Companions, directory: Path, reserved: Iterable[str] = ()) -> tuple[LeftBehind, ...]:
    """Copy companions into an artifact and return what stays behind, with the reason.

    Contents alone are copied: a copy has the modes of a new file. A file that the artifact has, or will have, is never
    written over.

    Args:
        companions: what goes beside the graph.
        directory: the artifact, with its graphs in it.
        reserved: names that the artifact will give to files of its own, beside manifest, card and golden vectors.

    Raises:
        CheckpointError: a file of the checkpoint cannot be read.
        ExportError: a copy cannot be written.
    """
    ours = {name.casefold() for name in (MANIFEST, CARD, *reserved)}
    left: list[LeftBehind] = []
    for name, path in companions.files.items():
        place = _place(name, path)
        if place is None:
            left.append(LeftBehind(name, OURS))
            continue
        copy = directory / place
        if _is_ours(place, ours) or os.path.lexists(copy) or not _make_folder(copy.parent):
            left.append(LeftBehind(name, OURS))
            continue
        _copy(path, copy, name)
    for folder in companions.folders:
        _make_folder(directory / folder)
    return tuple(sorted((*companions.left, *left), key=lambda item: (item.reason, item.name)))


def _place(name: str, path: Path) -> str | None:
    """Return the name of a copy: the checkpoint's card makes way for ours; a card that we wrote stays behind."""
    if name.casefold() != CARD.casefold():
        return name
    with path.open("rb") as file:
        return None if CARD_MARK.encode() in file.read(1 << 16) else THEIR_CARD


def _is_ours(name: str, ours: set[str]) -> bool:
    top = PurePosixPath(name).parts
    return name.casefold() in ours or any(fnmatchcase(part.casefold(), _VECTORS) for part in top)


def _make_folder(folder: Path) -> bool:
    """Make a folder for a copy; return whether it is one: where a file has its name, there is no place for the copy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return False
    except OSError as error:
        raise ExportError(f"'{folder.name}' cannot be made: {first_line(error.strerror or error)}") from None
    return True


def _copy(path: Path, copy: Path, name: str) -> None:
    try:
        source = _open_regular(path)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read: {first_line(error.strerror or error)}") from None
    try:
        with source, copy.open("xb") as file:
            _copy_bytes(source, file)
    except OSError as error:
        problem = first_line(error.strerror or error)
        raise ExportError(f"{name} cannot be copied into the artifact: {problem}") from None


def _open_regular(path: Path) -> BinaryIO:
    """Open a file that was a regular one when it was looked for, and that nobody has exchanged since."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    source = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        source.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return source


def _copy_bytes(source: BinaryIO, file: BinaryIO) -> None:
    """Copy inside the system, where a file system may share the blocks; else through a buffer."""
    try:
        while os.copy_file_range(source.fileno(), file.fileno(), _BLOCK):
            pass
    except (AttributeError, OSError):
        source.seek(0)
        file.seek(0)
        shutil.copyfileobj(source, file, _BLOCK)
