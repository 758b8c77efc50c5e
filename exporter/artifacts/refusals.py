"""What the machine refuses whatever a program does: a full disk or quota, a read-only file system, no memory."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from exporter.errors import ExporterError, ExportError, UsageError, describe_error, first_line, format_bytes
from exporter.versions import install_command_of, is_installed

# That the machine has no room. Another place, or more room, helps.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What is no bug of ours, and may be the reader's: a path that cannot be used.
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG})
# What libraries say of a full disk, where they raise errors of their own.
_NO_ROOM_TEXT = re.compile(
    r"no space left on device|os error (28|122|27)\b|disk quota exceeded|file too large|disk is full", re.IGNORECASE
)
_NO_MEMORY_TEXT = re.compile(
    r"can(no|')t allocate memory|bad_alloc|failed to allocate memory|os error 12\b", re.IGNORECASE
)
# The libraries that every model needs, each after those it imports.
_LIBRARIES = ("torch", "transformers")
# Less room than this explains an error in the middle of writing, in bytes.
_LITTLE = 1 << 20


def find_refusal(error: BaseException, places: Iterable[Path] = (), needed: str = "") -> ExporterError | None:
    """Return what to tell the user where the machine is why an error was raised; None where it is not.

    An error of ours stays what it is, unless a full disk or too little memory is behind it.

    Args:
        error: the error; those behind it are looked at as well.
        places: directories that were written to. One that is full explains an error that does not say so.
        needed: what is known of how much room was needed.
    """
    places = tuple(places)
    is_told = isinstance(error, ExporterError)
    if is_told and error.__cause__ is None and error.__context__ is None:
        return None
    for each in _chain(error):
        if isinstance(each, MemoryError) or _is_errno(each, {errno.ENOMEM}) or _NO_MEMORY_TEXT.search(str(each)):
            return ExportError(
                f"there is not enough memory: {describe_error(each)}",
                help="close other programs, run fewer builds at once (--jobs), or build on a machine with more memory",
            )
        if _is_errno(each, _NO_ROOM) or _NO_ROOM_TEXT.search(str(each)):
            return _no_room(each, places, needed)
        if not is_told and isinstance(each, OSError) and _is_errno(each, _REFUSED):
            place = f"'{each.filename}' cannot be used" if each.filename else "the file system refuses"
            return UsageError(f"{place}: {each.strerror}", help="give another path, or see to its permissions and room")
    if not is_told and any(_is_full(place) for place in places):
        return _no_room(error, places, needed)
    return None


def find_full(places: Iterable[Path], needed: str = "") -> UsageError | None:
    """Return what to tell the user where a directory that was written to has no room left; None where all have."""
    full = [place for place in places if _is_full(place)]
    return _no_room(None, full, needed) if full else None


def find_broken_library(error: BaseException) -> UsageError | None:
    """Return what to tell the user where a library that models need cannot be imported; None where that is not why.

    A library whose parts do not fit together may raise anything as it is imported.

    Args:
        error: what was raised, possibly by an import.
    """
    for each in _chain(error):
        missing = (each.name or "").partition(".")[0] if isinstance(each, ModuleNotFoundError) else ""
        command = install_command_of(missing) if missing and not is_installed(missing) else None
        if command is not None:
            return UsageError(f"{missing} is not installed, and this needs it", help=command)
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, ImportError | SyntaxError) and not any(frame.name == "<module>" for frame in frames):
        return None
    for name in _LIBRARIES:
        if name in sys.modules and sys.modules[name] is not None:
            continue
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as failure:
            cause: BaseException = failure
            while cause.__cause__ is not None:
                cause = cause.__cause__
            return UsageError(
                f"{name} cannot be imported: {describe_error(cause)}",
                help=f"install it again in {sys.prefix}; '{sys.executable} -c \"import {name}\"' shows where it fails",
            )
    return None


def directory_size(directory: Path) -> int:
    """Return how many bytes the files of a directory have."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).stat().st_size
    return total


def describe_refusal(error: BaseException, place: Path) -> str | None:
    """Return why nothing can be written to a place, with what is free there; None where room is not the reason."""
    if not _is_errno(error, _NO_ROOM):
        return None
    return f"{_reason(error)}; {describe_room(place)}"


def describe_room(place: Path) -> str:
    """Return how much is free where a place is or would be: ``12 B of 65.5 kB are free on the file system at '/out'``.

    A place that is not there is on the file system of the directory it would be in.
    """
    place = place.resolve()
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    while place != place.parent and place.stat().st_dev == place.parent.stat().st_dev:
        place = place.parent
    return f"{format_bytes(usage.free)} of {format_bytes(usage.total)} are free on the file system at '{place}'"


def _no_room(error: BaseException | None, places: Sequence[Path], needed: str) -> UsageError:
    name = getattr(error, "filename", None)
    name = name if isinstance(name, str | bytes) else None
    candidates = [*places, *([Path(os.fsdecode(name))] if name else ())]
    reason = _reason(error) if error is not None else os.strerror(errno.ENOSPC)
    if candidates:
        fullest = min(candidates, key=_free)
        reason = f"{reason}; {describe_room(fullest)}"
    if needed:
        reason = f"{reason}; {needed}"
    what = f" '{os.fsdecode(name)}'" if name else ""
    return UsageError(
        f"there is no room to write{what}: {reason}",
        help="make room there, or give another directory with -o (artifacts) or TMPDIR (temporary files)",
    )


def _reason(error: BaseException) -> str:
    return first_line(getattr(error, "strerror", None) or error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those behind it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _is_errno(error: BaseException, numbers: AbstractSet[int]) -> bool:
    return isinstance(error, OSError) and error.errno is not None and error.errno in numbers


def _is_full(place: Path) -> bool:
    return _free(place) < _LITTLE


def _free(place: Path) -> float:
    """Return how many bytes are free at a place; without bound where nobody can tell."""
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free
    except OSError:
        return float("inf")
