"""The list of modules of a sentence-transformers checkpoint is read, and refused where it leads out."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints.modules import Module, read_modules

LIST = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def write(folder: Path, modules: Any) -> None:
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")


def test_modules_are_read_in_their_order(tmp_path: Path) -> None:
    assert read_modules(tmp_path, "mine") == ()
    write(tmp_path, LIST)
    modules = read_modules(tmp_path, "mine")
    assert modules == (
        Module("sentence_transformers.models.Transformer", PurePosixPath()),
        Module("sentence_transformers.models.Pooling", PurePosixPath("1_Pooling")),
    )
    assert [module.class_name for module in modules] == ["Transformer", "Pooling"]


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../b", "..\\b"])
def test_a_module_outside_is_refused(path: str, tmp_path: Path) -> None:
    write(tmp_path, [{"path": path, "type": "x.Pooling"}])
    with pytest.raises(CheckpointError, match="which is outside the checkpoint"):
        read_modules(tmp_path, "mine")


@pytest.mark.parametrize(
    "modules", [{"a": 1}, [1], [{"path": ""}], [{"path": 3, "type": "x"}], 5, [{"path": "a\nb", "type": "x"}], None]
)
def test_what_is_no_list_of_modules_is_told(modules: Any, tmp_path: Path) -> None:
    write(tmp_path, modules)
    with pytest.raises(CheckpointError, match=r"modules.json of 'mine' is no list of modules"):
        read_modules(tmp_path, "mine")


def test_what_is_no_json_is_told(tmp_path: Path) -> None:
    for text in ("", "[" * 100_000, "[1" + " " * (1 << 21) + "]"):
        (tmp_path / "modules.json").write_text(text, "utf-8")
        with pytest.raises(CheckpointError, match="is no list of modules"):
            read_modules(tmp_path, "mine")
