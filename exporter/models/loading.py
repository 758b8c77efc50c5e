"""Load a checkpoint for a plan, with its keys checked."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exporter.errors import CheckpointError, first_line
from exporter.models.checkpoints.contradictions import explain_ids, explain_shapes
from exporter.models.checkpoints.conversion import convert_checkpoint
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.configs import find_class, load_config, quiet_libraries
from exporter.models.flat_model import TORCH_DTYPES
from exporter.planning.plan import Plan

_SHOWN = 8


def load_model(plan: Plan, checkpoint: Checkpoint, *, attention: str | None = None) -> tuple[Any, set[str]]:
    """Load a checkpoint for a plan, mapped from its file where the dtype allows.

    Args:
        plan: what is built; its dtype is the model's.
        checkpoint: where the weights are.
        attention: the attention implementation, or None for the model's default.

    Returns:
        The model in evaluation mode, and the names of parameters the checkpoint had no values for. Those are random,
        and a graph that uses one must fail.

    Raises:
        CheckpointError: weights are of the wrong shape, belong to layers the config does not have, or cannot be read.
    """
    config = load_config(checkpoint, plan.model.config)
    cls = find_class(plan, config, trust_remote_code=checkpoint.trust_remote_code)
    options: dict[str, Any] = {"attn_implementation": attention} if attention is not None else {}
    if checkpoint.trust_remote_code:
        options["trust_remote_code"] = True
    try:
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.sizes.seed)
            model, info = cls.from_pretrained(
                checkpoint.pytorch_path,
                config=config,
                dtype=TORCH_DTYPES[plan.model.dtype],
                output_loading_info=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{_some(checkpoint.weight_files)} of '{checkpoint.name}' is damaged or holds more than tensors, "
            "which is never loaded",
            help="save the model as safetensors with save_pretrained, on a machine that may run what the file holds",
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"'{checkpoint.name}' cannot be loaded as {cls.__name__} from {_some(checkpoint.weight_files)}: "
            f"{first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    _check_loading(model, info, checkpoint)
    _cast_strays(model, TORCH_DTYPES[plan.model.dtype])
    missing = set(info["missing_keys"])
    return model.eval(), missing - _computed_parameters(model) if missing else missing


def _computed_parameters(model: Any) -> set[str]:
    """Return the names of the parameters that a model computes and never trains, such as a table of sinusoids.

    Some checkpoints leave them out. A loaded model no longer tells them from the others, so a fresh one without data is
    asked.
    """
    with quiet_libraries(), torch.device("meta"):
        fresh = type(model)(model.config)
    return {name for name, parameter in fresh.named_parameters() if not parameter.requires_grad}


def _cast_strays(model: nn.Module, dtype: torch.dtype) -> None:
    """Give the build's dtype to parameters that a model makes in float32 and transformers leaves so.

    A float32 parameter multiplied with a float16 one stops the model. Parameters that the model keeps in float32 on
    purpose stay as they are.
    """
    kept = {
        *(getattr(model, "_keep_in_fp32_modules", None) or ()),
        *(getattr(model, "_keep_in_fp32_modules_strict", None) or ()),
    }
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != dtype and not kept & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)


def convert_weights(plan: Plan, checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    """Return a checkpoint that PyTorch can load: another framework's weights are converted into ``directory``.

    Raises:
        CheckpointError: the weights are damaged, or the package that reads them is not installed.
        ExportError: the model's class cannot be found.
    """
    if checkpoint.framework == "pt":
        return checkpoint
    config = load_config(checkpoint, plan.model.config)
    cls = find_class(plan, config, trust_remote_code=checkpoint.trust_remote_code)
    try:
        with quiet_libraries(), torch.device("meta"):
            model = cls(config)
    except Exception as error:
        raise CheckpointError(
            f"the config of '{checkpoint.name}' does not build: {first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    return convert_checkpoint(checkpoint, shapes, directory)


def _check_loading(model: Any, info: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        shown = (
            f"{name} is {list(in_file)} in the file and {list(in_model)} in the model"
            for name, in_file, in_model in mismatched
        )
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(mismatched)} weights of the wrong shape: {_some(shown)}",
            help=explain_shapes(checkpoint.path / "config.json", model.config.to_dict(), mismatched)
            or "its config.json does not describe its weights",
        )
    if info.get("error_msgs"):
        raise CheckpointError(f"'{checkpoint.name}' cannot be loaded: {_some(map(first_line, info['error_msgs']))}")
    stray = sorted(name for name in info["unexpected_keys"] if _belongs_inside(name, model))
    if stray:
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(stray)} weights that {type(model).__name__} with this config "
            f"has no place for: {_some(stray)}",
            help="config.json asks for another depth or another variant than the weights are of",
        )


def check_missing(missing: Iterable[str], used: Iterable[str], checkpoint: Checkpoint, model_class: str) -> None:
    """Fail when a graph uses weights the checkpoint does not have.

    Raises:
        CheckpointError: names them.
    """
    lacking = sorted(set(missing) & set(used))
    if lacking:
        raise CheckpointError(
            f"'{checkpoint.name}' lacks {len(lacking)} weights that {model_class} needs: {_some(lacking)}",
            help="choose a task the checkpoint was trained for, or the checkpoint that was fine-tuned for this one",
        )


def _belongs_inside(name: str, model: nn.Module) -> bool:
    """Tell whether an unexpected weight is part of what the model computes, rather than another head or an old buffer.

    ``cls.predictions.bias`` of a checkpoint loaded for another task hangs off the top of the model: harmless. A weight
    of layer 7 in a model of 6 layers, or inside a layer, means that the config describes another model.
    """
    prefix = getattr(model, "base_model_prefix", "")
    base = getattr(model, prefix, None) if prefix else None
    steps = name.split(".")
    if isinstance(base, nn.Module):
        if steps[0] != prefix:
            return False  # beside the base model: a head of another task
        steps = steps[1:]
    module = base if isinstance(base, nn.Module) else model
    depth = 0
    while depth < len(steps) and isinstance(child := getattr(module, steps[depth], None), nn.Module):
        module, depth = child, depth + 1
    is_buffer = len(steps) - depth == 1 and steps[depth] in dict(module.named_buffers(recurse=False))
    return depth > 0 and not is_buffer


def _some(items: Iterable[str]) -> str:
    listed = list(items)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def parameter_names(model: torch.nn.Module, tensors: list[torch.Tensor]) -> set[str]:
    """Return the names, in the model, of the parameters that share storage with the given tensors."""
    used = {
        tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size()
        for tensor in tensors
        if tensor.numel()
    }
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.data_ptr() in used}
