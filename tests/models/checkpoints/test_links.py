"""Links of a checkpoint lead to its own files and to nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints.links import Borders, check_links


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot in a hub cache, one of whose files is a link to a blob."""
    cached = tmp_path / "hub" / "models--somebody--model"
    (cached / "blobs").mkdir(parents=True)
    (cached / "blobs" / "0a1b").write_text("blob", "utf-8")
    snapshot = cached / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/0a1b")
    return snapshot


def test_a_link_leads_to_what_is_inside(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    (inside / "file").write_text("", "utf-8")
    (tmp_path / "secret").write_text("", "utf-8")
    (inside / "good").symlink_to("folder/../file")
    (inside / "absolute").symlink_to(inside / "file")
    (inside / "bad").symlink_to("../secret")
    (inside / "chain").symlink_to("bad")
    (inside / "up").symlink_to("..")
    (inside / "beside").symlink_to(tmp_path / "inside-too")
    borders = Borders.of(inside)
    assert [borders.hold(inside / name) for name in ("file", "good", "absolute", "nowhere", "")] == [True] * 5
    assert [borders.hold(inside / name) for name in ("bad", "chain", "up", "up/secret", "beside")] == [False] * 5
    # The checkpoint itself may be reached by a link.
    (tmp_path / "link").symlink_to("inside")
    assert Borders.of(tmp_path / "link") == borders


def test_a_snapshot_leads_to_the_blobs_of_its_cache(snapshot: Path) -> None:
    assert Borders.of(snapshot).hold(snapshot / "config.json")
    folder = snapshot / "1_Pooling"
    folder.mkdir()
    (folder / "config.json").symlink_to("../../../blobs/0a1b")
    assert Borders.of(folder).hold(folder / "config.json")
    # Another model of the same cache is somebody else's.
    other = snapshot.parents[2] / "models--somebody--private" / "blobs"
    other.mkdir(parents=True)
    (other / "0a1b").write_text("private", "utf-8")
    (snapshot / "vocab.txt").symlink_to("../../../models--somebody--private/blobs/0a1b")
    assert not Borders.of(snapshot).hold(snapshot / "vocab.txt")


def test_blobs_that_are_a_link_or_of_no_cache_are_outside(snapshot: Path, tmp_path: Path) -> None:
    blobs = snapshot.parents[1] / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    assert not Borders.of(snapshot).hold(snapshot / "config.json")
    blobs.unlink()
    (tmp_path / "elsewhere").rename(blobs)
    renamed = snapshot.parents[1].rename(tmp_path / "archive")
    assert not Borders.of(renamed / "snapshots" / "0123").hold(renamed / "snapshots" / "0123" / "config.json")


def test_the_error_says_which_file_and_not_where_to(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/data/secret")
    with pytest.raises(CheckpointError, match=r"model.safetensors of 'mine' is a link that leaves") as refusal:
        check_links(tmp_path, "mine", [tmp_path / "config.json", tmp_path / "model.safetensors"])
    assert "secret" not in refusal.value.message + str(refusal.value.help)
    assert "cp -L" in str(refusal.value.help)
