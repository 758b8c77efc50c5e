"""Directories that look like artifacts, and what is in them."""

from __future__ import annotations

from pathlib import Path


def occupy(target: Path) -> dict[str, bytes]:
    target.mkdir(parents=True)
    (target / "manifest.json").write_text('{"manifest_version": 2, "files": {"model.onnx": {}}}', "utf-8")
    (target / "model.onnx").write_bytes(b"the earlier graph")
    return files(target)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def leftovers(directory: Path) -> list[Path]:
    return sorted(directory.glob(".*"))
