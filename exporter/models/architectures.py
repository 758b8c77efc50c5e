"""What transformers has of an architecture: its config, its model classes, and what a class is called with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from exporter.errors import CheckpointError, ExporterError, UsageError, did_you_mean, first_line
from exporter.models.checkpoints import Checkpoint
from exporter.models.configs import class_for, quiet_libraries, remote_class


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in this thread alone: for tiny models, others cost more than they bring on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def default_config(architecture: str) -> Any:
    """Return the config of an architecture as its class makes it.

    Raises:
        UsageError: transformers has no such architecture.
        CheckpointError: the class makes none without values.
    """
    if architecture not in transformers.CONFIG_MAPPING:
        hint = did_you_mean(architecture, transformers.CONFIG_MAPPING)
        raise UsageError(f"transformers {transformers.__version__} has no architecture '{architecture}'", help=hint)
    try:
        with quiet_libraries():
            return transformers.CONFIG_MAPPING[architecture]()
    except Exception as error:
        raise CheckpointError(
            f"the config of '{architecture}' cannot be made without values: {first_line(error)}"
        ) from error


def find_model_class(auto_class: str | None, model_class: str | None, config: Any, architecture: str) -> Any | None:
    """Return the model class behind a task, or None where there is none."""
    try:
        return class_for(auto_class, model_class, config, architecture)
    except ExporterError:
        return None
    except Exception:  # a class whose module wants a package that is not installed
        return None


def required_arguments(module: Any) -> Iterator[str]:
    """Yield what ``forward()`` of a model cannot be called without."""
    for name, parameter in inspect.signature(module.forward).parameters.items():
        positional = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if positional and parameter.default is parameter.empty and name != "self":
            yield name


def auto_classes_of(config: Any) -> list[str]:
    """Return the auto classes that know a config, such as ``AutoModelForMaskedLM``."""
    names = [name for name in dir(transformers) if name.startswith("AutoModel")]
    return [name for name in names if type(config) in getattr(getattr(transformers, name, None), "_model_mapping", {})]


def general_keys() -> set[str]:
    """Return the keys that the config of every architecture has."""
    return set(vars(transformers.PreTrainedConfig()))


def state_shapes(architecture: str, values: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]] | None:
    """Return the weights of the base model of a config, with their shapes; None where it cannot be made."""
    try:
        with quiet_libraries(), torch.device("meta"):
            model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(architecture, **values))
    except Exception:  # whatever a library says of values that do not go together
        return None
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def register_code(checkpoint: Checkpoint, config: Any) -> None:
    """Make transformers know the classes of a checkpoint's own code, in this process, where that may run.

    Raises:
        CheckpointError: the code cannot be loaded.
    """
    auto_map = getattr(config, "auto_map", None)
    if not checkpoint.trust_remote_code or not isinstance(auto_map, Mapping):
        return
    if config.model_type not in transformers.CONFIG_MAPPING:
        transformers.AutoConfig.register(config.model_type, type(config))
    for name, reference in auto_map.items():
        if name.startswith("AutoModel") and isinstance(reference, str):
            model_class = remote_class(reference, checkpoint)
            model_class.config_class = type(config)
            getattr(transformers, name).register(type(config), model_class, exist_ok=True)
