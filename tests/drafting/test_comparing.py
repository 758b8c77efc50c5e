from __future__ import annotations

from pathlib import Path

import pytest

from exporter.drafting.comparing import compare_spec, spec_architecture
from exporter.drafting.draft import Draft
from exporter.errors import UsageError

TASKS = {"fill-mask": {}, "text-classification": {}}


def spec(tmp_path: Path, dims: str = "") -> str:
    path = tmp_path / "some-model.yaml"
    tasks = "\n".join(f"  {task}: {{}} # as usual" for task in TASKS)
    path.write_text(f"spec_version: 1\narchitecture: some-model\nextends: encoder\n{dims}tasks:\n{tasks}\n", "utf-8")
    return str(path)


def test_comments_references_and_bounds_are_not_compared(tmp_path: Path):
    drafted = Draft("some-model", "encoder", {"tasks": TASKS, "reference": {"config": {"a": 1}}}, {(): "drafted"})
    assert compare_spec(spec(tmp_path), drafted) == []


def test_what_the_model_decides_is_shown_as_a_diff(tmp_path: Path):
    drafted = Draft("some-model", "encoder", {"dims": {"hidden": "config.width"}, "tasks": TASKS})
    lines = compare_spec(spec(tmp_path, "dims: {hidden: config.size}\n"), drafted)
    assert "-  hidden: config.size" in lines
    assert "+  hidden: config.width" in lines


def test_the_architecture_is_that_of_the_file(tmp_path: Path):
    assert spec_architecture(spec(tmp_path)) == "some-model"
    (tmp_path / "other.yaml").write_text("a: 1\n", "utf-8")
    with pytest.raises(UsageError, match="is not a spec"):
        spec_architecture(str(tmp_path / "other.yaml"))
