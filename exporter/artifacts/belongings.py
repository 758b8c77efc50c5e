"""Which files of a directory are an artifact's, and which are somebody else's and stay whatever is built.

The manifest names the files of an artifact. It is read here with less trust and more patience than by `read_manifest`:
any version will do, since its names are all that is asked; a damaged one names nothing, so nothing is taken for ours;
and a name that leads out of the directory, or through a link, is not followed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from exporter.artifacts.claims import is_claim_name
from exporter.artifacts.manifest import CARD, CARD_MARK, MANIFEST
from exporter.errors import UsageError

# A manifest or a card above these sizes is none of ours, in bytes.
_MAX_MANIFEST, _MAX_CARD = 64 << 20, 1 << 20
# What a file system or git puts into a new directory.
_BARE = frozenset({"lost+found", ".git", ".gitattributes", ".gitignore"})
# The keys that the text of a manifest begins with, by which one cut short is known.
_FIRST_KEYS = (b'"architecture"', b'"manifest_version"')


@dataclass(frozen=True, slots=True)
class Belongings:
    """The files of an artifact among those of its directory.

    Attributes:
        names: the files of ours that are there, as relative POSIX paths.
        is_damaged: the manifest cannot be read, so that all but it may be somebody else's.
    """

    names: frozenset[str] = frozenset()
    is_damaged: bool = False


def find_belongings(directory: Path) -> Belongings:
    """Return which files of a directory are an artifact's. A directory that is empty or not there has none.

    Raises:
        UsageError: the directory holds something, and nothing that an artifact has.
    """
    if not directory.is_dir() or _holds_nothing(directory):
        return Belongings()
    listed = _read_names(directory / MANIFEST)
    if listed is None:
        return Belongings(is_damaged=True)
    names = {MANIFEST, *(name for name in listed if _is_file_inside(directory, name))}
    if _is_our_card(directory / CARD):
        names.add(CARD)
    return Belongings(frozenset(names))


def find_foreign(directory: Path, names: frozenset[str]) -> Iterator[str]:
    """Yield what is in a directory beside the named files, as relative POSIX paths.

    A directory in which no named file lies is yielded as a whole. Links and special files are files here.

    Raises:
        OSError: a directory cannot be read.
    """
    homes = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(directory, onerror=refuse):
        prefix = Path(place).relative_to(directory)
        for folder in list(folders):
            name = (prefix / folder).as_posix()
            if (directory / name).is_symlink():
                folders.remove(folder)
                files.append(folder)
            elif name not in homes:
                folders.remove(folder)
                yield name
        yield from (name for name in ((prefix / file).as_posix() for file in files) if name not in names)


def _holds_nothing(directory: Path) -> bool:
    """Return whether nobody has put anything into a directory: it is empty, a new volume, or a new repository."""
    return all(path.name in _BARE or is_claim_name(path.name) for path in directory.iterdir())


def _read_names(path: Path) -> list[str] | None:
    """Return the files that a manifest names; None where it is one of ours and damaged.

    Raises:
        UsageError: there is no manifest, or it is another program's.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_MANIFEST:
            raise _foreign(path)
        content = path.read_bytes()
    except OSError:
        raise _foreign(path) from None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        if _looks_like_ours(content):
            return None
        raise _foreign(path) from None
    if not isinstance(data, dict) or not isinstance(data.get("manifest_version"), int):
        raise _foreign(path)
    files = data.get("files")
    if isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values()):
        return list(files)
    # Other programs call their manifests' versions the same; ours is known by what it is of.
    if "plan" in data or "architecture" in data:
        return None
    raise _foreign(path)


def _looks_like_ours(content: bytes) -> bool:
    """Return whether bytes that are no JSON are what is left of a manifest, or nothing at all, as after a crash."""
    text = content.strip(b"\0 \t\r\n")
    if not text:
        return True
    if not text.startswith(b"{"):
        return False
    start = text[1:].lstrip()
    return any(start.startswith(key) or key.startswith(start) for key in _FIRST_KEYS)


def _foreign(path: Path) -> UsageError:
    reason = f"its {MANIFEST} is no manifest of an artifact" if os.path.lexists(path) else f"it has no {MANIFEST}"
    return UsageError(
        f"the output '{path.parent}' is not empty and was not written by exporter: {reason}",
        help="give an empty or a new directory with -o",
    )


def is_safe_name(name: str) -> bool:
    """Return whether a name is a relative POSIX path that stays inside its directory."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and path.as_posix() == name
        and "\0" not in name
        and not path.is_absolute()
        and ".." not in path.parts
    )


def _is_file_inside(directory: Path, name: str) -> bool:
    """Return whether a name is that of a file or a link in a directory, and no link lies on the way to it."""
    if not is_safe_name(name):
        return False
    path = directory
    try:
        for part in PurePosixPath(name).parts[:-1]:
            path /= part
            if not stat.S_ISDIR(path.lstat().st_mode):
                return False
        mode = (directory / name).lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _is_our_card(path: Path) -> bool:
    try:
        details = path.lstat()
        return (
            stat.S_ISREG(details.st_mode) and details.st_size <= _MAX_CARD and CARD_MARK.encode() in path.read_bytes()
        )
    except OSError:
        return False
