"""What people give in the place of a spec: a checkpoint, a file of one, a hub id, or an artifact."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.errors import UsageError
from exporter.language.catalog import list_specs

# How the files of weights of a checkpoint end, and how the id of one on the hub is written.
_OF_CHECKPOINTS = (".safetensors", ".bin", ".h5", ".msgpack", ".pt", ".pth")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?<!\.yaml)(?<!\.yml)")


def refuse_strangers(name: str, advice: str = "give it with --model: --model") -> None:
    """Refuse a checkpoint, a file of one, a hub id or an artifact in the place of a spec, and say what was meant.

    Args:
        name: what was given.
        advice: what to do with a checkpoint, whose name follows.

    Raises:
        UsageError: it is one of these.
    """
    path = Path(name)
    try:
        is_directory, is_file, has_parent = path.is_dir(), path.is_file(), path.parent.exists()
    except OSError:  # a name too long for a file system
        return
    if is_directory and list_specs(path):
        return
    folder = path if is_directory else path.parent
    if (is_directory or is_file) and path.suffix not in (".yaml", ".yml") and (folder / "manifest.json").is_file():
        raise UsageError(
            f"'{name}' is an artifact that was built, and no spec",
            help=f"check it again with: exporter verify {folder}; or build the checkpoint that it was made of",
        )
    is_part = is_file and (path.name == "config.json" or path.suffix in _OF_CHECKPOINTS)
    if is_part or (is_directory and (path / "config.json").is_file()):
        raise UsageError(f"'{name}' is a checkpoint, and no spec", help=f"{advice} {folder}")
    if _HUB_ID.fullmatch(name) and not (is_directory or is_file or has_parent):
        raise UsageError(
            f"there is no spec '{name}', and it is written like the id of a checkpoint on the hub",
            help=f"{advice} {name}",
        )
