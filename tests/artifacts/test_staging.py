"""An artifact is swapped in whole, or the earlier one stays; what somebody put into it is carried over."""

from __future__ import annotations

from pathlib import Path

import pytest
from artifact_files import files, leftovers, occupy

import exporter
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
        "model.onnx": b"the new graph", "manifest.json": b"{}", "notes/mine.txt": b"mine",
    }  # fmt: skip
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
