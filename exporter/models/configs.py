"""Configs and model classes of transformers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import transformers
from transformers.utils import logging as transformers_logging

from exporter.errors import CheckpointError, ExportError, UsageError, did_you_mean, first_line
from exporter.language.document import Data
from exporter.models.checkpoints.directory import Checkpoint, pytorch_class
from exporter.models.run_time_flags import without_flags
from exporter.planning.plan import Plan
from exporter.speech import libraries_speak


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers' and torch's own progress and advice off the terminal; failures still raise.

    With ``-v`` their advice is let through.
    """
    if libraries_speak():
        transformers_logging.disable_progress_bar()
        yield
        return
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            transformers_logging.set_verbosity(level)


def config_names() -> Mapping[str, str]:
    """Return the name of the config class of every architecture that transformers knows."""
    from transformers.models.auto import configuration_auto

    names: Mapping[str, str] = configuration_auto.CONFIG_MAPPING_NAMES
    return names


def config_class(architecture: str) -> Any:
    """Return the config class of an architecture that transformers knows."""
    return transformers.CONFIG_MAPPING[architecture]


def make_config(architecture: str, values: Mapping[str, Data]) -> Any:
    """Return the transformers config of an architecture with the given values.

    Raises:
        UsageError: transformers has no such architecture.
        CheckpointError: a value is not one the config takes.
    """
    if architecture not in transformers.CONFIG_MAPPING:
        hint = did_you_mean(architecture, transformers.CONFIG_MAPPING)
        raise UsageError(f"transformers {transformers.__version__} has no architecture '{architecture}'", help=hint)
    try:
        with quiet_libraries():
            return transformers.AutoConfig.for_model(architecture, **values)
    except Exception as error:
        raise CheckpointError(f"transformers refuses the config of '{architecture}': {first_line(error)}") from error


def load_config(checkpoint: Checkpoint, task_config: Mapping[str, Data]) -> Any:
    """Return the config of a checkpoint with the task's settings applied.

    Raises:
        CheckpointError: transformers cannot read it.
    """
    data = checkpoint.read_config()
    if "model_type" not in data:
        raise CheckpointError(
            f"config.json of '{checkpoint.name}' has no 'model_type'",
            help='add "model_type": "<architecture>" to config.json',
        )
    try:
        with quiet_libraries():
            # From what was read and checked, and not from a file that transformers would choose.
            config = _config_class(checkpoint, data).from_dict(without_flags(data))
    except Exception as error:
        hint = (
            "pass --trust-remote-code to run the checkpoint's own code" if "trust_remote_code" in str(error) else None
        )
        raise CheckpointError(
            f"the config of '{checkpoint.name}' cannot be loaded: {first_line(error)}", help=hint
        ) from error
    for key, value in task_config.items():
        setattr(config, key, value)
    return config


def _config_class(checkpoint: Checkpoint, data: Mapping[str, Any]) -> Any:
    if "auto_map" in data or data["model_type"] not in transformers.CONFIG_MAPPING:
        return type(
            transformers.AutoConfig.from_pretrained(
                checkpoint.path, trust_remote_code=checkpoint.trust_remote_code, local_files_only=True
            )
        )
    return transformers.CONFIG_MAPPING[data["model_type"]]


def find_auto_class(name: str) -> Any:
    """Return an auto class of transformers, such as ``AutoModelForMaskedLM``."""
    return getattr(transformers, name)


def find_class(plan: Plan, config: Any, checkpoint: Checkpoint | None = None) -> Any:
    """Return the model class of a plan: of the checkpoint's own code, where that may run, or of transformers.

    Raises:
        ExportError: the class does not exist, or the auto class does not know the config.
        CheckpointError: the checkpoint's own code cannot be loaded.
    """
    if checkpoint is not None and checkpoint.trust_remote_code and plan.model.model_class is None:
        auto_map = getattr(config, "auto_map", None)
        reference = auto_map.get(plan.model.auto_class) if isinstance(auto_map, Mapping) else None
        if reference is not None:
            return remote_class(reference, checkpoint)
    return class_for(plan.model.auto_class, plan.model.model_class, config, plan.model.architecture)


def class_for(auto_class: str | None, model_class: str | None, config: Any, architecture: str) -> Any:
    """Return the model class of transformers that a task names, or that its auto class has for a config.

    Raises:
        ExportError: the class does not exist, or the auto class does not know the config.
    """
    if model_class is not None:
        named = getattr(transformers, model_class, None)
        if named is None:
            raise ExportError(f"transformers {transformers.__version__} has no class '{model_class}'")
        return named
    auto = getattr(transformers, auto_class or "", None)
    if auto is None:
        raise ExportError(f"transformers {transformers.__version__} has no auto class '{auto_class}'")
    mapping = auto._model_mapping
    if type(config) not in mapping:
        raise ExportError(
            f"{auto_class} does not know the architecture '{architecture}'",
            help="remove the task from the spec, or name the class under 'class:'",
        )
    classes = mapping[type(config)]
    if not isinstance(classes, tuple):
        return classes
    architectures = {pytorch_class(str(name)) for name in getattr(config, "architectures", None) or ()}
    return next((candidate for candidate in classes if candidate.__name__ in architectures), classes[0])


def remote_class(reference: str, checkpoint: Checkpoint) -> Any:
    """Return a class of a checkpoint's own code, which runs.

    Raises:
        CheckpointError: the code is not there, or fails.
    """
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    try:
        with quiet_libraries():
            return get_class_from_dynamic_module(reference, str(checkpoint.path), local_files_only=True)
    except Exception as error:
        raise CheckpointError(
            f"the code of '{checkpoint.name}' cannot be loaded ({reference}): {first_line(error)}"
        ) from error
