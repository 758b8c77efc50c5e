"""What a spec is drafted of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.errors import UsageError
from exporter.language.catalog import load_tasks
from exporter.language.spec import WITH_PAST
from exporter.models.architectures import auto_classes_of, default_config, register_code
from exporter.models.checkpoints import Source, open_checkpoint
from exporter.models.configs import load_config


@dataclass(slots=True)
class Subject:
    """An architecture, and what transformers has for it.

    Attributes:
        architecture: the architecture, as its config says it.
        config: its config, as the class makes it without values.
        auto_classes: the auto classes that know the config.
        switches: values of the checkpoint's config that say how the model is built, where they are not the class's.
        models: references that were made, by class and config.
    """

    architecture: str
    config: Any
    auto_classes: tuple[str, ...]
    switches: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The tasks of the vocabulary that the auto classes are for."""
        return [task.name for task in load_tasks().values() if task.auto_class in self.auto_classes]

    def serves(self, task: str, part: Mapping[str, Any]) -> bool:
        """Tell whether there is an auto class for a task as a family describes it."""
        known = load_tasks().get(task.removesuffix(WITH_PAST))
        auto_class = part.get("auto_class") or (known.auto_class if known is not None else None)
        return auto_class in self.auto_classes


def find_subject(architecture: str | None, source: Source | None = None) -> Subject:
    """Return what is to be drafted: an architecture, or that of a checkpoint.

    Raises:
        UsageError: transformers has no such architecture, or neither is given.
        CheckpointError: the checkpoint cannot be opened, or its config class makes no config without values.
    """
    if source is None:
        if architecture is None:
            raise UsageError("nothing says what to draft", help="name a model type, or give a checkpoint with --model")
        config = default_config(architecture)
        return Subject(architecture, config, tuple(auto_classes_of(config)))
    checkpoint = open_checkpoint(source)
    config = load_config(checkpoint, {})
    if architecture is not None and architecture != config.model_type:
        raise UsageError(
            f"'{source.name}' is of the architecture '{config.model_type}', not '{architecture}'",
            help="leave one of the two out",
        )
    register_code(checkpoint, config)
    default = default_config(config.model_type)
    return Subject(config.model_type, default, tuple(auto_classes_of(default)), switches(config, default))


def switches(config: Any, default: Any) -> dict[str, Any]:
    """Return what a checkpoint's config switches on or off, or chooses by name, other than its class does."""
    return {
        key: value
        for key, value in vars(config).items()
        if not key.startswith("_")
        and isinstance(value, bool | str)
        and isinstance(getattr(default, key, None), type(value))
        and getattr(default, key) != value
        and key not in ("dtype", "transformers_version", "name_or_path")
    }
