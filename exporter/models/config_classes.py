"""What transformers' config classes hold, as data: the defaults of their values, and which of them code decides.

The classes are read from the source of the transformers that is installed, which is not imported: that takes seconds.
Where none is installed, the catalogue has what its architectures need, in ``specs/configs.json``.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter import records
from exporter.language.catalog import spec_directory

KEPT = "configs.json"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a class does to a value once it has it.

    Attributes:
        where: ``absent`` for a value that is not given, ``none`` for one that is null too, ``falsy`` for one that is
            also 0 or empty, and ``always``.
        value: the value in its place, as an expression of the spec language; None where code alone tells it.
    """

    where: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A config inside another: its class, or the architecture whose class it has unless it names another."""

    kind: str | None = None
    architecture: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigClass:
    """A config class.

    Attributes:
        name: its name.
        model_type: the architecture it names itself.
        fields: the default of each value.
        aliases: names that stand for others: ``{"hidden_size": "n_embd"}``.
        renamed: keys of older configs, each with the value it takes the place of.
        rules: what becomes of values, by name.
        parts: the configs inside it.
        untold: names whose value code alone tells.
        untold_with: keys of a config that let code decide about names, with these names.
        labels: the number of labels where a config says nothing of them.
        rope: ``flat`` or ``nested`` for a class with rotary frequencies, by the form in which it keeps them;
            ``changed`` where it changes what it is given.
    """

    name: str
    model_type: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    untold_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: int = 2
    rope: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigClasses:
    """Config classes by name, and the class of each architecture, of one version of transformers.

    ``dropped`` are keys of older configs that no config keeps: the settings of a generation. ``methods`` are names that
    every config has and that are no values of it.
    """

    version: str
    architectures: Mapping[str, str]
    classes: Mapping[str, ConfigClass]
    dropped: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def of(self, architecture: str) -> ConfigClass | None:
        """Return the class of an architecture; None where it is not told."""
        return self.classes.get(self.architectures.get(architecture, ""))


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
    from exporter.models.config_code import read_classes

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
