"""The modules of a sentence-transformers checkpoint are checked, and copied as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter.artifacts.layouts.sentence_transformers import LAYOUT
from exporter.errors import CheckpointError, UsageError
from exporter.models.checkpoints import Checkpoint

TASK = "feature-extraction"
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    {"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "saved"
    for name in ("1_Pooling/config.json", "2_Dense/deep/model.safetensors", "sentence_bert_config.json", "vocab.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    write_modules(folder, MODULES)
    return Checkpoint(folder, "mine", ())


def write_modules(folder: Path, modules: Any) -> None:
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")


def check(checkpoint: Checkpoint | None) -> None:
    LAYOUT.check(checkpoint, exporter.load_spec("bert").tasks[TASK])


def test_a_checkpoint_with_its_modules_is_taken(checkpoint: Checkpoint) -> None:
    check(checkpoint)


def test_a_checkpoint_without_its_modules_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="needs a checkpoint"):
        check(None)
    (checkpoint.path / "modules.json").unlink()
    with pytest.raises(CheckpointError, match=r"'mine' has no modules.json") as refusal:
        check(checkpoint)
    assert "SentenceTransformer('mine')" in (refusal.value.help or "")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../elsewhere", "names '../elsewhere', which is outside the checkpoint"),
        ("/etc", "names '/etc', which is outside the checkpoint"),
        ("5_Pooling", "has no directory '5_Pooling'"),
    ],
)
def test_a_module_that_is_elsewhere_or_nowhere_is_refused(path: str, message: str, checkpoint: Checkpoint) -> None:
    write_modules(checkpoint.path, [{"path": path, "type": "modules.Pooling"}])
    with pytest.raises(CheckpointError, match=message):
        check(checkpoint)


@pytest.mark.parametrize("modules", [{"a": 1}, [1], [{"path": ""}], [{"path": 3, "type": "x"}], 5])
def test_what_is_no_list_of_modules_is_told(modules: Any, checkpoint: Checkpoint) -> None:
    write_modules(checkpoint.path, modules)
    with pytest.raises(CheckpointError, match=r"modules.json of 'mine' is no list of modules"):
        check(checkpoint)


def test_only_one_graph_of_embeddings_is_taken() -> None:
    spec = exporter.load_spec("bert")
    embeddings = spec.tasks[TASK]
    LAYOUT.arrangement.refuse(spec, embeddings)
    with pytest.raises(UsageError, match="gives no embeddings"):
        LAYOUT.arrangement.refuse(spec, spec.tasks["fill-mask"])
    with pytest.raises(UsageError, match="holds one graph, and bert feature-extraction has 2"):
        LAYOUT.arrangement.refuse(spec, replace(embeddings, graphs=embeddings.graphs * 2))


def test_the_graph_is_where_the_weights_are_looked_for() -> None:
    (graph,) = LAYOUT.arrangement.arrange(exporter.plan("bert", TASK)).graphs
    assert graph.file == "onnx/model.onnx"
