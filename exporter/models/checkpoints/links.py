"""Links of a checkpoint: where they may lead.

A checkpoint comes as an archive too, and a link in it could name any file of the person who builds. What a link leads
to is taken only from the checkpoint's own directory and, for a snapshot in a hub cache, from the ``blobs`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import CheckpointError

_SNAPSHOTS, _BLOBS, _CACHED = "snapshots", "blobs", "models--"
_HELP = (
    "put the file itself in the place of the link (cp -L), or give a copy of the checkpoint without links: "
    "cp -rL DIR COPY"
)


@dataclass(frozen=True, slots=True)
class Borders:
    """The directories whose files belong to a checkpoint, as paths without links."""

    roots: tuple[Path, ...]

    @classmethod
    def of(cls, directory: Path) -> Borders:
        """Return the borders of a checkpoint directory, which may itself be reached by a link."""
        root = Path(os.path.realpath(directory))
        blobs = _blobs(root)
        return cls((root,) if blobs is None else (root, blobs))

    def hold(self, path: Path) -> bool:
        """Tell whether a path leads, with every link on its way followed, to something of the checkpoint's own."""
        real = Path(os.path.realpath(path))
        return any(real == root or root in real.parents for root in self.roots)


def _blobs(root: Path) -> Path | None:
    """Return the blobs of the hub cache a directory lies in: ``models--x/blobs`` for ``models--x/snapshots/y``.

    The blobs are a directory and no link: a link could again lead anywhere.
    """
    for snapshot in (root, *root.parents):
        cached = snapshot.parent.parent
        if snapshot.parent.name == _SNAPSHOTS and cached.name.startswith(_CACHED):
            blobs = cached / _BLOBS
            return blobs if blobs.is_dir() and not blobs.is_symlink() else None
    return None


def check_links(directory: Path, name: str, files: Iterable[Path]) -> None:
    """Refuse files of a checkpoint that are reached by a link to something outside of it.

    Args:
        directory: the checkpoint.
        name: what the user called it.
        files: files in it, whether they are there or not.

    Raises:
        CheckpointError: names the first such file, and not what its link leads to.
    """
    borders = Borders.of(directory)
    for file in files:
        if not borders.hold(file):
            raise link_error(file.relative_to(directory).as_posix(), name)


def link_error(file: str, name: str, problem: str = "leaves the checkpoint") -> CheckpointError:
    """Return the error for a file that is needed and is a link which is not followed.

    Args:
        file: the file, relative to the checkpoint.
        name: what the user called the checkpoint.
        problem: what is wrong with the link; what it leads to is not shown.
    """
    return CheckpointError(f"{file} of '{name}' is a link that {problem}", help=_HELP)
