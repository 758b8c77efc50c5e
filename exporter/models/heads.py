"""Which weights the head of a task has, so that a checkpoint without them is refused before torch is imported.

The catalogue keeps the names, in ``specs/heads.json``: for each architecture and each class that a task names, the
heads of the model classes that it may mean. The names are those that a class has whatever its config says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError, some
from exporter.language.catalog import spec_directory
from exporter.language.spec import TaskSpec
from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.safetensors_file import check_safetensors

KEPT = "heads.json"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a model class: the names of its weights, which are not tied to others."""

    model_class: str
    weights: tuple[str, ...]


def check_head(checkpoint: Checkpoint, architecture: str, task: TaskSpec) -> None:
    """Refuse a checkpoint that has nothing of the head of a task.

    One that has a part of it, whose names are wrapped, or whose files have no headers is left to those who load it.

    Raises:
        CheckpointError: says what is missing.
    """
    if checkpoint.container != "safetensors" or checkpoint.framework != "pt" or checkpoint.adapter is not None:
        return
    heads = read_heads().get(architecture, {}).get(task.model_class or task.auto_class or "", ())
    if not heads:
        return
    names = {name for file in checkpoint.weight_paths() for name in check_safetensors(file)}
    if not names or any(_has_part(names, head) for head in heads):
        return
    head = heads[0]
    raise CheckpointError(
        f"'{checkpoint.name}' lacks {len(head.weights)} weights that {head.model_class} needs: {some(head.weights)}",
        help="choose a task the checkpoint was trained for, or the checkpoint that was fine-tuned for this one",
    )


def _has_part(names: Iterable[str], head: Head) -> bool:
    """Tell whether a file has a weight in a module of a head, whatever stands before the names in it."""
    modules = {name.rpartition(".")[0] or name for name in head.weights}
    return any(f".{module}." in f".{name}." for name in names for module in modules)


@lru_cache(maxsize=1)
def read_heads(path: Path | None = None) -> Mapping[str, Mapping[str, tuple[Head, ...]]]:
    """Return the heads that the catalogue keeps, by architecture and class of a task."""
    path = path or spec_directory() / KEPT
    data: Any = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return {
        architecture: {
            name: tuple(Head(model_class, tuple(weights)) for model_class, weights in heads.items())
            for name, heads in of_classes.items()
        }
        for architecture, of_classes in data.items()
    }
