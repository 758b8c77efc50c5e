"""An adapter beside its base: ``adapter_config.json``, which names the checkpoint whose weights it changes.

Nothing here needs PEFT; `exporter.models.merging` does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import CheckpointError
from exporter.models.checkpoints.json_file import read_json
from exporter.models.checkpoints.links import check_links
from exporter.models.checkpoints.safetensors_file import check_safetensors
from exporter.versions import install_command

ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_TASKS = {"SEQ_CLS", "TOKEN_CLS"}
# The way out where an adapter cannot be taken.
BY_HAND = "merge it into its base with merge_and_unload() of PEFT, save that with save_pretrained(), and export it"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that is asked for in place of a checkpoint.

    Attributes:
        path: its directory.
        name: what the user called it.
        commit: the hub commit it was resolved to; None for a directory of the user's.
        method: how it changes weights, as PEFT calls it: ``LORA``.
        base: the name of the checkpoint it belongs to, a directory or a hub id, as the adapter has it.
        revision: the revision of that, where the adapter names one.
        weights: the name of its file of weights.
        labels: how many labels its classifier has; None where it has none of its own.
    """

    path: Path
    name: str
    commit: str | None
    method: str
    base: str
    revision: str | None
    weights: str
    labels: int | None

    @property
    def files(self) -> tuple[Path, ...]:
        """Its config and its weights."""
        return (self.path / ADAPTER_CONFIG, self.path / self.weights)


def is_adapter(path: Path) -> bool:
    """Tell whether a directory holds an adapter."""
    return (path / ADAPTER_CONFIG).is_file()


def open_adapter(path: Path, name: str, commit: str | None) -> Adapter:
    """Look at the directory of an adapter.

    Raises:
        CheckpointError: it is damaged, names no base, lacks its weights, or PEFT is not installed.
    """
    check_links(path, name, [path / ADAPTER_CONFIG])
    config = read_json(path / ADAPTER_CONFIG)
    method, base = config.get("peft_type"), config.get("base_model_name_or_path")
    if not isinstance(method, str) or not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{ADAPTER_CONFIG} of '{name}' names no method or no base ('peft_type', 'base_model_name_or_path')",
            help="save the adapter with PEFT's save_pretrained, or " + BY_HAND,
        )
    if config.get("megatron_config") is not None:
        # With it PEFT imports a module whose name the file gives.
        raise CheckpointError(
            f"{ADAPTER_CONFIG} of '{name}' names code to import ('megatron_core'), which is never done", help=BY_HAND
        )
    if importlib.util.find_spec("peft") is None:
        raise CheckpointError(
            f"'{name}' is a {method} adapter of '{base}' and no model of its own; merging it into its base takes PEFT",
            help=f"{install_command('peft')}, or {BY_HAND}",
        )
    weights = next((file for file in _WEIGHTS if (path / file).is_file()), None)
    if weights is None:
        raise CheckpointError(
            f"the adapter '{name}' has no weights", help=f"copy the whole adapter: {' or '.join(_WEIGHTS)}"
        )
    check_links(path, name, [path / weights])
    shapes = check_safetensors(path / weights) if weights.endswith(".safetensors") else {}
    labels = _labels(shapes) if config.get("task_type") in _TASKS else None
    revision = config.get("revision")
    named = revision if isinstance(revision, str) else None
    return Adapter(path, name, commit, method, base, named, weights, labels)


def refuse_beside_weights(path: Path, name: str, weights: str) -> None:
    """Refuse a directory that holds an adapter beside the weights of a model, since it does not say which is meant.

    Raises:
        CheckpointError: it does.
    """
    if is_adapter(path):
        raise CheckpointError(
            f"'{name}' holds an adapter ({ADAPTER_CONFIG}) beside the weights of a model ({weights}), "
            "and a graph of one of them would not be that checkpoint",
            help=f"{BY_HAND}; or move the adapter to a directory of its own",
        )


def _labels(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return the number of labels of a classifier among weights: the rows of its last matrix, which has the fewest."""
    rows = [
        shape[0]
        for name, shape in shapes.items()
        if len(shape) == 2 and {"classifier", "score"} & set(name.split(".")) and "lora_" not in name
    ]
    return min(rows, default=None)
