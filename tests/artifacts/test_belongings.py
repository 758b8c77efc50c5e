"""What of a directory is an artifact's; what a build makes of it is tested with the staging."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.artifacts.belongings import find_belongings, find_foreign, is_safe_name
from exporter.artifacts.manifest import CARD, CARD_MARK
from exporter.errors import UsageError


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def test_a_manifest_names_what_is_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        manifest_json='{"manifest_version": 2, "files": {"a.bin": {}, "sub/b.bin": {}, "gone.bin": {}, "dir": {}}}',
        a_bin="",
        sub__b_bin="",
        sub__mine_txt="",
        other__mine_txt="",
        README_md=f"{CARD_MARK}",
    )
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("sub")
    belongings = find_belongings(tmp_path)
    assert belongings.names == {"manifest.json", "a.bin", "sub/b.bin", CARD}
    assert set(find_foreign(tmp_path, belongings.names)) == {"dir", "link", "other", "sub/mine.txt"}
    write(tmp_path, README_md="mine")
    assert CARD not in find_belongings(tmp_path).names


def test_nothing_belongs_to_an_artifact_that_is_not_there(tmp_path: Path) -> None:
    assert find_belongings(tmp_path / "nowhere") == find_belongings(tmp_path)
    write(tmp_path, mine_txt="")
    with pytest.raises(UsageError, match="has no manifest"):
        find_belongings(tmp_path)


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling"])
def test_a_manifest_is_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="was not written by exporter"):
        find_belongings(tmp_path)


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("a/b", True),
        ("..a", True),
        ("", False),
        (".", False),
        ("a/../b", False),
        ("/a", False),
        ("a//b", False),
        ("a\0", False),
        ("./a", False),
    ],
)
def test_a_name_stays_inside(name: str, is_safe: bool) -> None:
    assert is_safe_name(name) is is_safe
