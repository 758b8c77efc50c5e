"""The layout of sentence-transformers: the checkpoint's directory, with ``onnx/model.onnx`` in place of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.artifacts.layouts.layout import Layout
from exporter.errors import CheckpointError, UsageError
from exporter.language.spec import Spec, TaskSpec
from exporter.planning.arrangement import Arrangement

if TYPE_CHECKING:  # commands that only name layouts open no checkpoint
    from exporter.models.checkpoints import Checkpoint

_TASK = "feature-extraction"
# Modules with nothing to save, whose empty directories are lost on the way through a hub.
_WITHOUT_FILES = ("Normalize",)


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
    from exporter.models.checkpoints.modules import MODULES, read_modules

    modules = read_modules(checkpoint.whole, checkpoint.name)
    if not modules:
        raise CheckpointError(
            f"'{checkpoint.name}' has no {MODULES}, so nothing says how its tokens become one embedding",
            help="save it with sentence-transformers: "
            f"SentenceTransformer('{checkpoint.name}').save(DIR) pools by the mean",
        )
    if checkpoint.outer is not None:
        raise CheckpointError(
            f"'{checkpoint.name}' keeps its model in '{modules[0].folder}', where the layout has no place for a graph",
            help=f"save it again: SentenceTransformer('{checkpoint.name}').save(DIR)",
        )
    for module in modules:
        if not (checkpoint.path / module.folder).is_dir() and module.class_name not in _WITHOUT_FILES:
            raise CheckpointError(
                f"'{checkpoint.name}' has no directory '{module.folder}', which its {MODULES} names",
                help="copy the whole checkpoint",
            )


LAYOUT = Layout(
    Arrangement("sentence-transformers", folder="onnx", targets=("onnx",), refuse=_refuse),
    "the directory of a sentence-transformers checkpoint with onnx/model.onnx in place of its weights",
    library="sentence-transformers",
    check=_check,
    word=lambda _: "SentenceTransformer",
)
