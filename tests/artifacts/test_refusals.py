"""What the machine refuses is told as that, with the place and its room, whoever raises it."""

from __future__ import annotations

import errno
import importlib
import sqlite3
from pathlib import Path

import pytest

from exporter.artifacts import refusals
from exporter.artifacts.refusals import describe_refusal, directory_size, find_broken_library, find_full, find_refusal
from exporter.errors import CheckpointError, ExporterError, ExportError, UsageError


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        raised(ExportError("the tracer failed"), OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_full_disk_is_known_by_whatever_tells_of_it(error: BaseException, tmp_path: Path) -> None:
    refusal = find_refusal(error, (tmp_path,), needed="3 kB were needed")
    assert type(refusal) is UsageError
    assert refusal.message.startswith("there is no room to write: ")
    assert " are free on the file system at '/" in refusal.message
    assert refusal.message.endswith("; 3 kB were needed")
    assert "TMPDIR" in str(refusal.help)


def test_a_full_place_explains_an_error_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("PytorchStreamWriter failed writing file")
    assert find_refusal(error, (tmp_path,)) is None
    assert find_full((tmp_path,)) is None
    monkeypatch.setattr(refusals, "_free", lambda place: 1000.0)
    for refusal in (find_refusal(error, (tmp_path,)), find_full((tmp_path,))):
        assert isinstance(refusal, UsageError)
        assert "there is no room" in refusal.message
    # An error of ours has said what it is.
    assert find_refusal(ExportError("it failed"), (tmp_path,)) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        raised(CheckpointError("it cannot be read"), MemoryError()),
    ],
)
def test_too_little_memory_is_no_bug(error: BaseException) -> None:
    refusal = find_refusal(error)
    assert type(refusal) is ExportError
    assert refusal.message.startswith("there is not enough memory: ")


def test_what_may_not_be_read_is_told_with_its_name() -> None:
    refusal = find_refusal(PermissionError(errno.EACCES, "Permission denied", "specs/x.yaml"))
    assert isinstance(refusal, UsageError)
    assert refusal.message == "'specs/x.yaml' cannot be used: Permission denied"
    read_only = find_refusal(OSError(errno.EROFS, "Read-only file system"))
    assert isinstance(read_only, UsageError)
    assert read_only.message == "the file system refuses: Read-only file system"
    told = raised(CheckpointError("no such tensor"), PermissionError(errno.EACCES, "Permission denied"))
    assert find_refusal(told) is None


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "No such file"), ExporterError("x")]
)
def test_all_else_is_not_the_machines(error: BaseException) -> None:
    assert find_refusal(error) is None
    assert describe_refusal(error, Path()) is None


def test_the_size_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(24))
    (tmp_path / "dangling").symlink_to("nowhere")
    assert directory_size(tmp_path) == 1024


@pytest.mark.parametrize("raises", ["OSError('libtorch_cpu.so: cannot open shared object file')", "SystemExit(1)"])
def test_a_library_that_cannot_be_imported_is_named(
    raises: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text(f"raise {raises}", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(refusals, "_LIBRARIES", ("errno", "broken_library"))
    with pytest.raises(BaseException, match=r"libtorch|1") as failure:
        importlib.import_module("broken_library")
    told = find_broken_library(failure.value)
    assert isinstance(told, UsageError)
    assert told.message.startswith(f"broken_library cannot be imported: {raises.partition('(')[0]}: ")
    # Nothing is imported to explain an error that no import raised.
    assert find_broken_library(ValueError("x")) is None


def test_a_library_that_can_be_imported_is_not_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_LIBRARIES", ("errno",))
    with pytest.raises(ModuleNotFoundError) as failure:
        importlib.import_module("no_such_module_of_ours")
    assert find_broken_library(failure.value) is None


def test_a_package_that_is_not_installed_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["no-such-thing; extra == 'tf'"])
    told = find_broken_library(raised(ExportError("failed"), ModuleNotFoundError("", name="no_such_thing.part")))
    assert isinstance(told, UsageError)
    assert told.message == "no_such_thing is not installed, and this needs it"
    assert told.help == "pip install 'checkpoint-exporter[tf]'"
