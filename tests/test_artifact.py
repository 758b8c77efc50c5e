"""The names that programs around the package take artifacts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.artifact import read_plan, staged_artifact
from exporter.errors import UsageError


def test_a_program_puts_a_directory_of_its_own_in_place(tmp_path: Path):
    with staged_artifact(tmp_path / "own") as staging:
        (staging / "manifest.json").write_text("{}", "utf-8")
        assert not (tmp_path / "own").exists()
    assert (tmp_path / "own/manifest.json").read_text("utf-8") == "{}"


def test_a_directory_that_is_no_artifact_has_no_plan(tmp_path: Path):
    with pytest.raises(UsageError, match="not an artifact"):
        read_plan(tmp_path)
