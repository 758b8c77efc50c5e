"""Where config classes are read: in the source of the transformers that is installed, or in what the catalogue keeps.

The library is not imported: that takes seconds. Where none is installed, the catalogue has the classes that its
architectures need, in ``specs/configs.json``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter import records
from exporter.language.catalog import spec_directory
from exporter.models.config_classes import ConfigClass, ConfigClasses
from exporter.models.config_code import read_classes

KEPT = "configs.json"


@lru_cache(maxsize=1)
def library_directory() -> Path | None:
    """Return where transformers is installed, without importing it; None where it is not."""
    try:
        found = importlib.util.find_spec("transformers")
    except (ImportError, ValueError):
        return None
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def find_config_class(architecture: str) -> tuple[ConfigClass, ConfigClasses] | None:
    """Return the config class of an architecture with the classes its parts may have; None where it is not told."""
    directory = library_directory()
    classes = _read_installed(directory, architecture) if directory is not None else read_kept()
    kind = classes.of(architecture) if classes is not None else None
    return (kind, classes) if kind is not None and classes is not None else None


@lru_cache(maxsize=64)
def _read_installed(directory: Path, architecture: str) -> ConfigClasses | None:
    return read_classes(directory, (architecture,))


@lru_cache(maxsize=1)
def read_kept(path: Path | None = None) -> ConfigClasses | None:
    """Return the classes that the catalogue keeps, for a machine without transformers; None where it keeps none."""
    path = path or spec_directory() / KEPT
    if not path.is_file():
        return None
    data: Any = json.loads(path.read_text("utf-8"))
    usual = records.to_data(ConfigClass(""))
    data["classes"] = {name: {**usual, **kind} for name, kind in data["classes"].items()}
    return records.from_data(ConfigClasses, data)


def write_kept(path: Path, classes: ConfigClasses) -> None:
    """Write classes for machines without transformers."""
    path.write_text(_to_text(records.to_data(classes)), "utf-8")


def _to_text(data: Mapping[str, Any]) -> str:
    """Return classes as JSON with a line for each, without what is empty or usual, so that a change can be reviewed."""
    usual = records.to_data(ConfigClass(""))

    def short(value: Any) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    def lines(entries: Iterable[tuple[str, Any]]) -> str:
        return ",\n".join(f"  {json.dumps(name)}: {short(value)}" for name, value in sorted(entries))

    classes = {
        name: {key: value for key, value in kind.items() if key == "name" or value != usual[key]}
        for name, kind in data["classes"].items()
    }
    parts = {
        "version": json.dumps(data["version"]),
        "dropped": short(data["dropped"]),
        "methods": short(data["methods"]),
        "architectures": f"{{\n{lines(data['architectures'].items())}\n }}",
        "classes": f"{{\n{lines(classes.items())}\n }}",
    }
    return "{\n" + ",\n".join(f' "{name}": {text}' for name, text in parts.items()) + "\n}\n"
