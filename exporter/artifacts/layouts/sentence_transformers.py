"""The layout of sentence-transformers: the checkpoint's directory, with ``onnx/model.onnx`` in place of its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.artifacts.layouts.layout import Layout
from exporter.errors import CheckpointError, UsageError
from exporter.language.spec import Spec, TaskSpec
from exporter.models.checkpoints import Checkpoint
from exporter.planning.arrangement import Arrangement
from exporter.planning.plan import Plan

_TASK = "feature-extraction"
_MODULES = "modules.json"
# Modules with nothing to save, whose empty directories are lost on the way through a hub.
_WITHOUT_FILES = (".Normalize",)
_SETTINGS = ("config_sentence_transformers.json", "sentence_*_config.json")


def _refuse(spec: Spec, task: TaskSpec) -> None:
    if task.name != _TASK:
        raise UsageError(
            f"the layout sentence-transformers is for {_TASK}, and {spec.architecture} {task.name} gives no embeddings",
            help=f"build the task {_TASK}",
        )
    if len(task.graphs) != 1:
        raise UsageError(
            f"the layout sentence-transformers holds one graph, "
            f"and {spec.architecture} {task.name} has {len(task.graphs)}",
            help="leave --layout out",
        )


def _check(checkpoint: Checkpoint | None, _: TaskSpec) -> None:
    """Ask for the modules: how tokens become a sentence is not in the weights."""
    if checkpoint is None:
        raise UsageError(
            "the layout sentence-transformers needs a checkpoint, whose modules say how tokens are pooled",
            help="give one with --model",
        )
    if not (checkpoint.path / _MODULES).is_file():
        raise CheckpointError(
            f"'{checkpoint.name}' has no {_MODULES}, so nothing says how its tokens become one embedding",
            help="save it with sentence-transformers: "
            f"SentenceTransformer('{checkpoint.name}').save(DIR) pools by the mean",
        )
    _modules(checkpoint)


def _modules(checkpoint: Checkpoint) -> list[Path]:
    """Return the directories of the modules beside the transformer itself, relative to the checkpoint.

    Raises:
        CheckpointError: ``modules.json`` cannot be read, or leads out of the checkpoint.
    """
    path = checkpoint.path / _MODULES
    try:
        modules = [
            (PurePosixPath(module["path"]), str(module["type"])) for module in json.loads(path.read_text("utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"{_MODULES} of '{checkpoint.name}' is no list of modules", help="copy the whole checkpoint"
        ) from None
    for folder, kind in modules:
        if folder.is_absolute() or ".." in folder.parts:
            raise CheckpointError(
                f"{_MODULES} of '{checkpoint.name}' names '{folder}', which is outside the checkpoint"
            )
        if not (checkpoint.path / folder).is_dir() and not kind.endswith(_WITHOUT_FILES):
            raise CheckpointError(
                f"'{checkpoint.name}' has no directory '{folder}', which its {_MODULES} names",
                help="copy the whole checkpoint",
            )
    return [Path(folder) for folder, _ in modules if folder.parts]


def _finish(directory: Path, _: Plan, checkpoint: Checkpoint, __: Any) -> None:
    """Copy the modules as they are; those after pooling have weights of their own."""
    settings = [path for pattern in (_MODULES, *_SETTINGS) for path in sorted(checkpoint.path.glob(pattern))]
    for path in settings:
        shutil.copyfile(path, directory / path.name)
    for module in _modules(checkpoint):
        for path in sorted((checkpoint.path / module).rglob("*")):
            copy = directory / path.relative_to(checkpoint.path)
            if path.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


LAYOUT = Layout(
    Arrangement("sentence-transformers", folder="onnx", targets=("onnx",), refuse=_refuse),
    "the directory of a sentence-transformers checkpoint with onnx/model.onnx in place of its weights",
    library="sentence-transformers",
    check=_check,
    finish=_finish,
)
