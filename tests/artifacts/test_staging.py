"""An artifact is swapped in whole, or the earlier one stays; what somebody put into it is carried over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from artifact_files import files, leftovers, occupy

import exporter
from exporter.artifacts.manifest import CARD, CARD_MARK
from exporter.artifacts.staging import check_place, staged_artifact
from exporter.errors import ExporterError, UsageError


def test_a_failure_inside_leaves_the_earlier_artifact(tmp_path: Path):
    before = occupy(tmp_path / "artifact")

    def fail() -> None:
        with staged_artifact(tmp_path / "artifact") as staging:
            (staging / "model.onnx").write_bytes(b"half a gra")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files(tmp_path / "artifact") == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "renamed"])
def test_what_somebody_put_into_an_artifact_is_carried_over(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not exchange:
        monkeypatch.setattr("exporter.artifacts.staging._exchange", lambda one, other: False)
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / "notes").mkdir()
    (tmp_path / "artifact" / "notes" / "mine.txt").write_text("mine", "utf-8")
    with staged_artifact(tmp_path / "artifact") as staging:
        (staging / "model.onnx").write_bytes(b"the new graph")
        (staging / "manifest.json").write_text("{}", "utf-8")
    assert files(tmp_path / "artifact") == {
        "model.onnx": b"the new graph",
        "manifest.json": b"{}",
        "notes/mine.txt": b"mine",
    }
    assert not leftovers(tmp_path)


def test_a_swap_that_fails_half_way_puts_the_earlier_artifact_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("exporter.artifacts.staging._exchange", lambda one, other: False)
    before = occupy(tmp_path / "artifact")
    rename, calls = Path.rename, []

    def fail_second(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail_second)
    with pytest.raises(exporter.ExporterError, match="No space left"), staged_artifact(tmp_path / "artifact"):
        pass
    assert files(tmp_path / "artifact") == before
    assert not leftovers(tmp_path)


def test_a_link_is_followed(tmp_path: Path):
    occupy(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    with staged_artifact(tmp_path / "link") as staging:
        (staging / "manifest.json").write_text("{}", "utf-8")
    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path / "real") == {"manifest.json": b"{}"}
    assert not leftovers(tmp_path)


def test_what_a_living_build_stages_is_left_alone(tmp_path: Path):
    with staged_artifact(tmp_path / "one") as one:
        (one / "manifest.json").write_text("{}", "utf-8")
        with staged_artifact(tmp_path / "two") as two:
            assert leftovers(tmp_path) == [one, two]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_place_that_cannot_be_had_is_refused_before_any_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "deep" / "artifact")
    assert not (tmp_path / "new").exists()
    occupy(tmp_path / "artifact")
    check_place(tmp_path / "artifact")
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UsageError, match="is a file"):
        check_place(tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot be written: '.*file' is a file"):
        check_place(tmp_path / "file" / "artifact")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("", "utf-8")
    with pytest.raises(UsageError, match="is not empty and was not written by exporter"):
        check_place(tmp_path / "foreign")


@pytest.mark.parametrize(("error", "reason"), [(OSError(28, "No space left"), "No space left"), (OSError(), "OSError")])
def test_a_system_error_is_told_by_its_reason_or_its_kind(
    error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    def stage() -> None:
        with staged_artifact(tmp_path / "artifact"):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(ExporterError, match=f"cannot be put at '.*': {reason}$"):
            stage()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(UsageError, match=f"cannot be written: {reason}$"):
            stage()
    with monkeypatch.context() as patch:
        patch.setattr("exporter.artifacts.staging._check_place", refuse)
        with pytest.raises(UsageError, match=f"cannot be written: {reason}$"):
            check_place(tmp_path / "artifact")
    assert not leftovers(tmp_path)


def test_what_a_killed_build_left_behind_is_removed(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    stale = tmp_path / f".artifact.exporter-{int(gone.stdout)}.tmp"
    living = tmp_path / f".artifact.exporter-{os.getppid()}.tmp"
    for place in (stale, living):
        place.mkdir()
    with staged_artifact(tmp_path / "artifact"):
        pass
    assert leftovers(tmp_path) == [living]


@pytest.mark.parametrize("ours", [True, False])
def test_a_card_without_our_mark_is_kept(ours: bool, tmp_path: Path) -> None:
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / CARD).write_text(f"{CARD_MARK}\nold" if ours else "theirs", "utf-8")
    with staged_artifact(tmp_path / "artifact") as staging:
        (staging / CARD).write_text(f"{CARD_MARK}\nnew", "utf-8")
    assert (tmp_path / "artifact" / CARD).read_text("utf-8") == (f"{CARD_MARK}\nnew" if ours else "theirs")
