"""Companions are copied by their contents alone, and never over a file of the artifact."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from exporter.artifacts.copying import OURS, copy_companions
from exporter.artifacts.manifest import CARD_MARK
from exporter.errors import CheckpointError, ExportError
from exporter.models.checkpoints import Companions, LeftBehind


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "model.onnx").write_text("graph", "utf-8")
    return artifact


def companions(folder: Path, *names: str) -> Companions:
    """Return companions whose files hold their names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    return Companions({name: folder / name for name in names}, (LeftBehind("run.py", "code"),), ("2_Normalize",))


def test_contents_are_copied_with_plain_permissions(artifact: Path, tmp_path: Path) -> None:
    found = companions(tmp_path / "from", "vocab.txt", "a/b/c.json")
    (tmp_path / "from" / "vocab.txt").chmod(0o4700)
    left = copy_companions(found, artifact)
    assert left == (LeftBehind("run.py", "code"),)
    assert (artifact / "a" / "b" / "c.json").read_text("utf-8") == "a/b/c.json"
    assert (artifact / "2_Normalize").is_dir()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((artifact / "vocab.txt").stat().st_mode) == 0o666 & ~umask


def test_no_file_of_the_artifact_is_written_over(artifact: Path, tmp_path: Path) -> None:
    names = [
        "model.onnx",
        "manifest.json",
        "Manifest.json",
        "genai_config.json",
        "test_data_set_0/input_0.pb",
        "deep/test_data_set_7/x",
        "model.onnx/inside",
        "vocab.txt",
    ]
    files = dict.fromkeys(names, tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("a", "utf-8")
    left = copy_companions(Companions(files, ()), artifact, ["genai_config.json"])
    assert {item.name for item in left} == set(names) - {"vocab.txt"}
    assert {item.reason for item in left} == {OURS}
    assert (artifact / "model.onnx").read_text("utf-8") == "graph"
    assert sorted(path.name for path in artifact.iterdir()) == ["model.onnx", "vocab.txt"]


def test_the_card_of_the_checkpoint_makes_way_for_ours(artifact: Path, tmp_path: Path) -> None:
    found = companions(tmp_path / "from", "README.md")
    copy_companions(found, artifact)
    assert (artifact / "README.checkpoint.md").read_text("utf-8") == "README.md"
    assert not (artifact / "README.md").exists()
    # A card that we wrote tells of another artifact.
    (artifact / "README.checkpoint.md").unlink()
    (tmp_path / "from" / "README.md").write_text(f"---\n\n{CARD_MARK}\n", "utf-8")
    assert LeftBehind("README.md", OURS) in copy_companions(found, artifact)
    assert not (artifact / "README.checkpoint.md").exists()


def test_a_file_is_copied_where_the_system_does_not_help(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.copy_file_range")
    copy_companions(companions(tmp_path / "from", "vocab.txt"), artifact)
    assert (artifact / "vocab.txt").read_text("utf-8") == "vocab.txt"


def test_what_cannot_be_copied_is_told(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = companions(tmp_path / "from", "vocab.txt")
    (tmp_path / "from" / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"vocab.txt cannot be read: No such file"):
        copy_companions(found, artifact)
    os.mkfifo(tmp_path / "from" / "vocab.txt")
    with pytest.raises(CheckpointError, match=r"vocab.txt cannot be read: it is no regular file"):
        copy_companions(found, artifact)
    # A link that took the place of the file is not followed.
    (tmp_path / "from" / "vocab.txt").unlink()
    (tmp_path / "from" / "vocab.txt").symlink_to(artifact / "model.onnx")
    with pytest.raises(CheckpointError, match=r"vocab.txt cannot be read: Too many levels of symbolic links"):
        copy_companions(found, artifact)
    assert not (artifact / "vocab.txt").is_symlink()
    (tmp_path / "from" / "vocab.txt").unlink()
    (tmp_path / "from" / "vocab.txt").touch()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.copy_file_range", full)
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(ExportError, match=r"vocab.txt cannot be copied into the artifact: No space left on device"):
        copy_companions(found, artifact)
