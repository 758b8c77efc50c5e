"""The archives of torch, read without torch: a zip file whose directory means the same to every reader.

Torch reads its archives with another library than Python's. Two readers may see two contents in one file: where a name
is there twice, where names differ in case alone, or where bytes before or behind the archive hold a second directory.
Whoever looks into an archive on behalf of torch must see what torch will see, so such files are refused. Torch writes
parts as they are; a compressed part could be far larger than the file.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from exporter.errors import first_line

# A directory ends with this record, which has 22 bytes where it has no comment.
_END, _END_SIZE = b"PK\x05\x06", 22
# Archives of many parts, or of many bytes, have two further records before it.
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_END64, _END64_SIZE = b"PK\x06\x06", 56
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 0x1
_MOST_PARTS = 200_000
# What zipfile raises for bytes that are no archive.
_UNREADABLE = (zipfile.BadZipFile, struct.error, ValueError, OSError, EOFError, RuntimeError)


class ArchiveError(ValueError):
    """A file is no archive that torch writes."""


class Archive:
    """The parts of an archive, by their names below its one folder."""

    def __init__(self, file: Path | bytes) -> None:
        """Read the directory of an archive.

        Args:
            file: where the archive is, or its bytes.

        Raises:
            ArchiveError: it is none, or its parts are not the same for every reader.
        """
        self._file: IO[bytes] = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
        try:
            _check_end(self._file)
            self._zip = zipfile.ZipFile(self._file)
            self.parts = dict(self._parts())
        except ArchiveError:
            self._file.close()
            raise
        except _UNREADABLE as error:
            self._file.close()
            raise ArchiveError(f"it is not an archive that torch writes ({first_line(error)})") from error

    def _parts(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        entries = self._zip.infolist()
        if not entries or len(entries) > _MOST_PARTS:
            raise ArchiveError(f"it is an archive of {len(entries)} parts")
        folder = entries[0].filename.partition("/")[0]
        seen: set[str] = set()
        for entry in entries:
            name = entry.filename
            # The name as written: Python cuts it at a zero byte.
            if name != entry.orig_filename or not name.isascii() or not name.isprintable() or "\\" in name:
                raise ArchiveError(f"the name {name[:80]!r} of a part can be read in two ways")
            if not name.startswith(f"{folder}/") or {"", ".", ".."} & set(name.split("/")):
                raise ArchiveError(f"the part {name[:80]!r} is not below the archive's one folder")
            if name.lower() in seen:
                raise ArchiveError(f"the part {name[:80]!r} is there twice")
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise ArchiveError(f"the part {name[:80]!r} is compressed")
            if entry.flag_bits & _ENCRYPTED:
                raise ArchiveError(f"the part {name[:80]!r} is encrypted")
            seen.add(name.lower())
            yield name[len(folder) + 1 :], entry

    def read(self, part: str) -> bytes:
        """Return the bytes of a part, which are in the file as they are.

        Raises:
            ArchiveError: they cannot be read.
        """
        try:
            return self._zip.read(self.parts[part])
        except _UNREADABLE as error:
            raise ArchiveError(f"its part '{part}' cannot be read ({first_line(error)})") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _check_end(file: IO[bytes]) -> None:
    """Check that the directory ends where the file ends, and begins where the end says that it does.

    Raises:
        ArchiveError: there are bytes behind the directory, or the file can be read from two directories.
    """
    file.seek(0, io.SEEK_END)
    length = file.tell()
    if length < _END_SIZE:
        raise ArchiveError("it is too short")
    file.seek(max(length - _END_SIZE - _LOCATOR_SIZE - _END64_SIZE, 0))
    tail = file.read()
    end = tail[-_END_SIZE:]
    if not end.startswith(_END):
        raise ArchiveError("its directory is not at its end")
    _, disk, first, here, parts, size, offset, comment = struct.unpack("<4s4H2LH", end)
    if disk or first or comment or here != parts:
        raise ArchiveError("its directory has a comment, or is in several files")
    locator = tail[-_END_SIZE - _LOCATOR_SIZE : -_END_SIZE]
    before = length - _END_SIZE
    if locator.startswith(_LOCATOR) and len(locator) == _LOCATOR_SIZE:
        before, parts, size, offset = _read_end64(tail, length, (parts, size, offset))
    elif parts == _FULL16 or _FULL32 in (size, offset):
        raise ArchiveError("the end of its directory is not there")
    if offset + size != before:
        raise ArchiveError("there are bytes around its directory")


def _read_end64(tail: bytes, length: int, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return where the directory must end, and its parts, size and offset, which the short record may say as well."""
    start = len(tail) - _END_SIZE - _LOCATOR_SIZE - _END64_SIZE
    record = tail[start : start + _END64_SIZE] if start >= 0 else b""
    if not record.startswith(_END64):
        raise ArchiveError("the end of its directory is not where it is said to be")
    _, rest, _, _, disk, first, here, parts, size, offset = struct.unpack("<4sQ2H2L4Q", record)
    _, locator_disk, place, disks = struct.unpack("<4sLQL", tail[-_END_SIZE - _LOCATOR_SIZE : -_END_SIZE])
    before = length - _END_SIZE - _LOCATOR_SIZE - _END64_SIZE
    if rest != _END64_SIZE - 12 or disk or first or here != parts or locator_disk or disks != 1 or place != before:
        raise ArchiveError("the end of its directory is not where it is said to be")
    for value, full, said in zip((parts, size, offset), (_FULL16, _FULL32, _FULL32), short, strict=True):
        if said not in (value, full):
            raise ArchiveError("its directory has two ends that differ")
    return before, parts, size, offset
