"""Directories that this process works in and removes: a lock in each tells the living from what killed ones left.

A claimed directory holds the file `LOCK`, locked for as long as the process that made it lives. The system frees the
lock with the process, in whatever way it ends, and shows it to every other process on the machine, those of other
containers included, where a process id means nothing. So a directory whose lock can be had is nobody's, and whoever
finds it removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import UsageError, first_line

LOCK = ".exporter-lock"
_CLAIMED = re.compile(r"\.?exporter-[0-9a-f]{16}\.tmp\Z")
# A directory of another machine, or on a file system without locks, is removed after this long without a change.
# Locks of another machine may not be seen here, and nothing else says that its process is gone.
_ELSEWHERE_SECONDS = 24 * 3600
_UNLOCKED_SECONDS = 7 * 24 * 3600
_ATTEMPTS = 20

Repair = Callable[[Path], None]


@dataclass(slots=True)
class _Claim:
    """How a directory is held.

    Attributes:
        repair: what has to be done before the directory is removed.
        lock: the open lock; None before it is locked.
        is_busy: what is in it is being moved, so that only the thread that moves it may end the claim.
    """

    repair: Repair
    lock: int | None = None
    is_busy: bool = False


# The claimed directories of this process.
_CLAIMS: dict[Path, _Claim] = {}


class ClaimedError(Exception):
    """A living process has the directory."""


class _MissingError(Exception):
    """The directory went away, or was made anew, while it was being locked."""


def claim_name(key: bytes = b"", *, hidden: bool = True) -> str:
    """Return the name of a directory to claim: always the same for a key, and a new one without a key."""
    stem = hashlib.sha256(key).hexdigest()[:16] if key else secrets.token_hex(8)
    return f"{'.' if hidden else ''}exporter-{stem}.tmp"


def is_claim_name(name: str) -> bool:
    """Return whether a name is one that `claim_name` gives."""
    return _CLAIMED.match(name) is not None


def claim(path: Path, repair: Repair = lambda path: None) -> None:
    """Make a directory that is this process's until `release`. What a killed process left there is removed first.

    Args:
        path: where, under a name of `claim_name`.
        repair: called with the directory before it is removed, at the end or as what a killed process left.

    Raises:
        ClaimedError: a living process has it.
        OSError: it cannot be made.
    """
    for _ in range(_ATTEMPTS):
        try:
            path.mkdir(0o700)
        except FileExistsError:
            if not remove_stale(path, repair):
                raise ClaimedError(path) from None
            continue
        # Registered as soon as it is there: an interrupt that comes now finds it in `release_all`.
        _CLAIMS[path] = _Claim(repair)
        try:
            _CLAIMS[path].lock = _lock(path)[0]
        except (ClaimedError, _MissingError):
            # Another process took the directory, which had no lock yet, for one that was left behind.
            _CLAIMS.pop(path, None)
            continue
        except BaseException:
            release(path)
            raise
        return
    raise ClaimedError(path)


def release(path: Path) -> None:
    """Remove a directory that this process claimed, or leave it to the next one where its repair cannot be done."""
    held = _CLAIMS.pop(path, None)
    if held is None:
        return
    try:
        held.repair(path)
        _remove(path)
    except OSError:
        pass  # the journal in it says what is missing
    finally:
        if held.lock is not None:
            os.close(held.lock)


def release_all() -> None:
    """Remove every directory that this process claimed and has not released: the process is about to end."""
    for path, held in list(_CLAIMS.items()):
        if not held.is_busy:
            release(path)


@contextmanager
def busy(path: Path) -> Iterator[None]:
    """Keep other threads from ending the claim of a directory in which files are being moved."""
    _CLAIMS[path].is_busy = True
    try:
        yield
    finally:
        _CLAIMS[path].is_busy = False


def sweep(parent: Path, repair: Repair = lambda path: None) -> None:
    """Remove the claimed directories that killed processes left in ``parent``."""
    try:
        paths = [path for path in parent.iterdir() if is_claim_name(path.name)]
    except OSError:
        return  # a directory that may be written and not read
    for path in paths:
        with contextlib.suppress(OSError):
            remove_stale(path, repair)


def remove_stale(path: Path, repair: Repair) -> bool:
    """Remove a claimed directory if its process is gone; return whether the place is free now.

    Raises:
        OSError: ``repair`` cannot finish what the process had begun; the directory is left for the next attempt.
    """
    if path in _CLAIMS or not is_claim_name(path.name) or path.is_symlink():
        return False
    if not (path / LOCK).exists():
        # Whoever made it has not come to lock it, or it is somebody else's with such a name: only an empty one goes.
        with contextlib.suppress(OSError):
            path.rmdir()
        return not os.path.lexists(path)
    try:
        lock, sound = _lock(path)
    except (ClaimedError, OSError):
        return False
    except _MissingError:
        return not os.path.lexists(path)
    try:
        if not _is_left_behind(path, lock, sound):
            return False
        repair(path)
        _remove(path)
        return not os.path.lexists(path)
    finally:
        os.close(lock)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Give a directory for temporary files, and remove it at the end; what killed processes left goes as well.

    Raises:
        UsageError: there is no directory for temporary files that can be written.
    """
    with ExitStack() as stack:
        try:
            path = stack.enter_context(claimed_directory(Path(tempfile.gettempdir()), hidden=False))
        except OSError as error:
            raise UsageError(
                f"temporary files cannot be written: {first_line(error.strerror or error)}",
                help="make room in the directory for temporary files, or name another in the variable TMPDIR",
            ) from None
        yield path


@contextmanager
def claimed_directory(parent: Path, *, hidden: bool = True) -> Iterator[Path]:
    """Give an empty directory below ``parent``, and remove it at the end; what killed processes left goes as well.

    Raises:
        OSError: it cannot be made.
    """
    sweep(parent)
    path = parent / claim_name(hidden=hidden)
    claim(path)
    try:
        empty = path / "files"
        empty.mkdir()
        yield empty
    finally:
        release(path)


def lock_directory(path: Path) -> int | None:
    """Lock a directory that is there, for as long as the returned file is open; None where it cannot be locked.

    Raises:
        ClaimedError: a living process has it locked.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (AttributeError, OSError):
        return None
    try:
        if _try_lock(opened):
            return opened
    except ClaimedError:
        os.close(opened)
        raise
    os.close(opened)
    return None


def _lock(path: Path) -> tuple[int, bool]:
    """Lock a claimed directory; return the open file, and whether the file system has locks.

    Raises:
        ClaimedError: a living process has the lock.
        _MissingError: the directory is not there any more.
        OSError: the lock cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        lock = os.open(path / LOCK, flags, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise _MissingError from None
    try:
        sound = _try_lock(lock)
        try:
            current = os.path.samestat(os.fstat(lock), (path / LOCK).stat())
        except FileNotFoundError:
            current = False
        if not current:
            raise _MissingError
        if os.fstat(lock).st_size == 0:
            with contextlib.suppress(OSError):  # a full disk: the lock alone has to do
                os.write(lock, _machine().encode())
    except BaseException:
        os.close(lock)
        raise
    return lock, sound


def _try_lock(opened: int) -> bool:
    """Lock an open file; return whether the system and the file system have locks.

    Raises:
        ClaimedError: a living process has it locked.
    """
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ImportError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ClaimedError from None
    except OSError:
        return False
    return True


def _is_left_behind(path: Path, lock: int, sound: bool) -> bool:
    """Return whether the process that claimed a directory is gone, by the lock that could be had."""
    os.lseek(lock, 0, os.SEEK_SET)
    owner = os.read(lock, 200).decode("ascii", "replace")
    if sound and owner in ("", _machine()):
        return True
    changed = max(_changed(entry) for entry in (path, *path.rglob("*")))
    return time.time() - changed > (_ELSEWHERE_SECONDS if sound else _UNLOCKED_SECONDS)


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()


def _machine() -> str:
    """Return what tells this machine, since it was started, from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _remove(path: Path) -> None:
    """Remove a claimed directory whose lock is held, after a rename that frees its name in one step."""
    doomed = path.with_name(claim_name(hidden=path.name.startswith(".")))
    try:
        path.rename(doomed)
    except OSError:
        doomed = path
    shutil.rmtree(doomed, ignore_errors=True)
