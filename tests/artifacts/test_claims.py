"""A claimed directory is its process's while that lives, and nobody's afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from exporter.artifacts import claims
from exporter.artifacts.claims import (
    LOCK,
    ClaimedError,
    claim,
    claim_name,
    claimed_directory,
    is_claim_name,
    lock_directory,
    release,
    release_all,
    scratch_directory,
    sweep,
)
from exporter.errors import UsageError

CLAIM = """
import sys, time
from pathlib import Path
from exporter.artifacts.claims import claim
claim(Path(sys.argv[1]))
print("claimed", flush=True)
time.sleep(600)
"""


def claim_and_die(path: Path) -> None:
    """Have another process claim a directory, see that it is held, and kill the process."""
    with subprocess.Popen([sys.executable, "-c", CLAIM, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        sweep(path.parent)
        assert (path / LOCK).exists()
        with pytest.raises(ClaimedError):
            claim(path)
        process.kill()


def test_what_a_killed_process_left_is_removed_and_may_be_claimed(tmp_path: Path) -> None:
    path = tmp_path / claim_name(b"place")
    claim_and_die(path)
    (path / "large").write_bytes(b"x")
    repaired: list[bool] = []
    claim(path, lambda directory: repaired.append((directory / "large").exists()))
    assert repaired == [True]
    assert [entry.name for entry in path.iterdir()] == [LOCK]
    release(path)
    assert not list(tmp_path.iterdir())


def test_a_sweep_removes_what_is_nobodys_and_nothing_else(tmp_path: Path) -> None:
    claim_and_die(tmp_path / claim_name(hidden=False))
    (tmp_path / claim_name()).mkdir()  # its process was killed before it came to lock it
    other = tmp_path / claim_name(b"other")
    other.mkdir()
    (other / "data").write_text("no lock of ours lies in it", "utf-8")
    (tmp_path / "exporter-data").mkdir()
    (tmp_path / "exporter-data" / LOCK).write_text("", "utf-8")
    (tmp_path / claim_name(b"link")).symlink_to("exporter-data")
    with claimed_directory(tmp_path) as mine:
        sweep(tmp_path)
        assert mine.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "exporter-data", claim_name(b"link")}
    assert (tmp_path / "exporter-data" / LOCK).exists()
    sweep(tmp_path / "nowhere")


@pytest.mark.parametrize(("age", "goes"), [(3600, False), (25 * 3600, True)])
def test_another_machines_directory_goes_when_it_is_old(age: float, goes: bool, tmp_path: Path) -> None:
    """A lock that a machine holds may not be seen by another."""
    path = tmp_path / claim_name(b"place")
    path.mkdir()
    (path / LOCK).write_text("another machine", "utf-8")
    for entry in (path / LOCK, path):
        os.utime(entry, (time.time() - age,) * 2)
    sweep(tmp_path)
    assert path.exists() is not goes


@pytest.mark.parametrize(("age", "goes"), [(25 * 3600, False), (8 * 24 * 3600, True)])
def test_without_locks_only_age_tells(age: float, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_try_lock", lambda opened: False)
    path = tmp_path / claim_name(b"place")
    claim(path)
    monkeypatch.setattr(claims, "_CLAIMS", {})
    for entry in (path / LOCK, path):
        os.utime(entry, (time.time() - age,) * 2)
    sweep(tmp_path)
    assert path.exists() is not goes


def test_a_repair_that_cannot_be_done_leaves_the_directory(tmp_path: Path) -> None:
    path = tmp_path / claim_name(b"place")

    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    claim(path, refuse)
    release(path)
    assert path.is_dir()
    with pytest.raises(OSError, match="Input/output"):
        claim(path, refuse)
    claim(path)
    release(path)
    assert not path.exists()


def test_all_that_a_process_claimed_goes_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_CLAIMS", {})
    first, second = (tmp_path / claim_name(name) for name in (b"first", b"second"))
    claim(first)
    claim(second)
    with claims.busy(second):
        release_all()
        assert [path.name for path in tmp_path.iterdir()] == [second.name]
    release_all()
    assert not list(tmp_path.iterdir())


def test_names() -> None:
    assert claim_name(b"a") == claim_name(b"a") != claim_name(b"b")
    assert claim_name() != claim_name()
    assert is_claim_name(claim_name())
    assert is_claim_name(claim_name(hidden=False))
    assert not is_claim_name("exporter-data")


def test_temporary_files_need_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_directory() as scratch:
        assert scratch.parent.parent == tmp_path
        assert not list(scratch.iterdir())
    assert not list(tmp_path.iterdir())

    def scratch_in(path: Path) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(path))
        with scratch_directory():
            pass

    with pytest.raises(UsageError, match="temporary files cannot be written: No such file") as failure:
        scratch_in(tmp_path / "nowhere")
    assert "TMPDIR" in str(failure.value.help)


def test_a_directory_that_is_there_is_locked_by_one(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    assert lock is not None
    with pytest.raises(ClaimedError):
        lock_directory(tmp_path)
    os.close(lock)
    assert lock_directory(tmp_path / "nowhere") is None
