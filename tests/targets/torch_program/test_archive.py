"""Archives of torch, read as torch reads them: one directory, each name once, each part as it is."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.targets.torch_program.archive import Archive, ArchiveError


def pack(*parts: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


GOOD = pack(("model/version", b"3"), ("model/data/0", b"abcd"))


def test_parts_are_read_by_their_names_below_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(GOOD)
    for source in (path, GOOD):
        with Archive(source) as archive:
            assert list(archive.parts) == ["version", "data/0"]
            assert archive.read("data/0") == b"abcd"


def test_what_torch_writes_is_read(tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    with Archive(tmp_path / "a.pt") as archive:
        assert "data.pkl" in archive.parts


def with_second_directory(data: bytes) -> bytes:
    """Return an archive with another one before it: readers that count from the start see the other."""
    return pack(("model/version", b"9")) + data


def with_local_name(data: bytes) -> bytes:
    """Return an archive whose first part has another name at its place than in the directory."""
    return data.replace(b"model/version", b"model/evilone", 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"\x80\x02}q\x00.",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-2] + struct.pack("<H", 4) + b"more",
        with_second_directory,
        lambda data: b"before" + data,
        lambda data: data + data,
    ],
    ids=["empty", "pickle", "cut", "behind", "comment", "second-directory", "before", "twice"],
)
def test_a_file_that_two_readers_may_see_two_ways_is_refused(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(spoil(GOOD))
    with pytest.raises(ArchiveError):
        Archive(tmp_path / "a.pt")


def test_a_part_of_another_name_at_its_place_is_refused() -> None:
    archive = Archive(with_local_name(GOOD))
    with pytest.raises(ArchiveError, match="cannot be read"):
        archive.read("version")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("model/version", "there twice"),
        ("model/VERSION", "there twice"),
        ("other/version", "not below the archive's one folder"),
        ("model/../x", "not below"),
        ("/model/x", "not below"),
        ("model//x", "not below"),
        ("model", "not below"),
        ("model/ü", "in two ways"),
        ("model/a\\b", "in two ways"),
    ],
)
def test_names_are_plain_and_there_once(second: str, said: str) -> None:
    duplicate = pytest.warns(UserWarning, match="Duplicate") if second == "model/version" else contextlib.nullcontext()
    with duplicate:
        data = pack(("model/version", b"3"), (second, b""))
    with pytest.raises(ArchiveError, match=said):
        Archive(data)


def test_a_bomb_is_refused_unopened() -> None:
    data = pack(("model/data.pkl", b"\0" * 50_000_000), compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 100_000
    with pytest.raises(ArchiveError, match="is compressed"):
        Archive(data)


def test_a_part_said_to_be_larger_than_its_file_is_refused() -> None:
    data = bytearray(pack(("model/x", b"1234")))
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<2L", 1 << 30, 1 << 30)
    with pytest.raises(ArchiveError):
        Archive(bytes(data)).read("x")
