"""``modules.json`` of sentence-transformers: the modules a text goes through, the first of which is the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from exporter.errors import CheckpointError

MODULES = "modules.json"
# A list of modules has some hundred bytes.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Module:
    """A module: the path of its class, such as ``sentence_transformers.models.Pooling``, and its folder.

    The folder is relative to the checkpoint; that of the model is often the checkpoint itself.
    """

    kind: str
    folder: PurePosixPath

    @property
    def class_name(self) -> str:
        """The name of its class alone."""
        return self.kind.rpartition(".")[2]


def read_modules(directory: Path, name: str) -> tuple[Module, ...]:
    """Return the modules of a checkpoint directory, in their order; none where there is no list.

    Args:
        directory: the checkpoint.
        name: what the user called it.

    Raises:
        CheckpointError: the list cannot be read, or leads out of the checkpoint.
    """
    path = directory / MODULES
    if not path.is_file():
        return ()
    try:
        with path.open("rb") as file:
            entries = json.loads(file.read(_MOST_BYTES))
        if not isinstance(entries, list):
            raise TypeError("no list")
        modules = tuple(Module(_text(entry["type"]), PurePosixPath(_text(entry["path"]))) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"{MODULES} of '{name}' is no list of modules", help="copy the whole checkpoint"
        ) from None
    for module in modules:
        if module.folder.is_absolute() or ".." in module.folder.parts or "\\" in str(module.folder):
            raise CheckpointError(f"{MODULES} of '{name}' names '{module.folder}', which is outside the checkpoint")
    return modules


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError("no text")
    return value
