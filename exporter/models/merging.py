"""Merge an adapter into the weights of its base, with PEFT."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from exporter.errors import CheckpointError, first_line, some
from exporter.models.checkpoints.adapter import Adapter
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.configs import quiet_libraries
from exporter.models.loading import Loaded, convert_weights, load_model
from exporter.planning.plan import Plan


def make_loadable(plan: Plan, checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    """Return a checkpoint that PyTorch can load, with its adapter merged; what has to be written goes to ``directory``.

    Raises:
        CheckpointError: the weights are damaged, the package that reads them is not installed, or the adapter does not
            fit.
        ExportError: the model's class cannot be found.
    """
    return merge_adapter(plan, convert_weights(plan, checkpoint, directory), directory / "merged")


def merge_adapter(plan: Plan, checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    """Return a checkpoint with an adapter merged into its weights, which are written to ``directory``.

    The merge is computed in float32, whatever the plan's dtype. Weights that neither the base nor the adapter has stay
    away from the file, so that a graph that needs one fails as it does without an adapter.

    Args:
        plan: what is built.
        checkpoint: the base, and the adapter with it.
        directory: where ``model.safetensors`` goes.

    Raises:
        CheckpointError: the adapter does not fit its base, or its method cannot be merged.
    """
    adapter = checkpoint.adapter
    if adapter is None:
        return checkpoint
    in_float32 = dataclasses.replace(plan, model=dataclasses.replace(plan.model, dtype="float32"))
    loaded = load_model(in_float32, checkpoint)
    merged, given = _merge(loaded, adapter)
    lacking = {name for name in loaded.missing if name not in given}
    weights = {name: tensor for name, tensor in merged.state_dict().items() if name not in lacking}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(_apart(weights), directory / "model.safetensors", {"format": "pt"})
    # Without the places of directories on this machine, since a manifest holds none.
    own = adapter.name if adapter.commit is not None else adapter.path.resolve().name
    base = adapter.base if checkpoint.commit is not None else checkpoint.whole.resolve().name
    remark = f"the {adapter.method} adapter '{own}' was merged into its base '{base}'"
    return dataclasses.replace(checkpoint, converted=directory).remarked(remark, *loaded.remarks)


def _merge(loaded: Loaded, adapter: Adapter) -> tuple[Any, set[str]]:
    """Return the merged model, and the names of whole weights that the adapter brought."""
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    name = adapter.name
    try:
        with quiet_libraries():
            config = PeftConfig.from_pretrained(str(adapter.path))
            model = PeftModel.from_pretrained(
                loaded.model, str(adapter.path), config=config, is_trainable=False, local_files_only=True
            )
            held = load_peft_weights(str(adapter.path), device="cpu")
            taken = get_peft_model_state_dict(model)
    except Exception as error:  # PEFT raises whatever its parts stumble over
        raise CheckpointError(
            f"the adapter '{name}' cannot be put on its base '{adapter.base}': {first_line(error)}",
            help="give the base the adapter was trained on",
        ) from error
    stray, lacking = sorted(held.keys() - taken.keys()), sorted(taken.keys() - held.keys())
    if stray or lacking:
        base = f"its base '{adapter.base}'"
        raise CheckpointError(
            f"the adapter '{name}' has weights that {base} has no place for: {some(stray)}"
            if stray
            else f"the adapter '{name}' lacks weights for {base}: {some(lacking)}",
            help="give the base the adapter was trained on",
        )
    if not hasattr(model, "merge_and_unload"):
        raise CheckpointError(
            f"the {adapter.method} adapter '{name}' cannot be merged into weights: it adds inputs to the model",
            help="train an adapter of a method that changes weights, such as LORA",
        )
    try:
        with quiet_libraries(), torch.no_grad():
            merged = model.merge_and_unload(safe_merge=True)
    except Exception as error:
        raise CheckpointError(
            f"the {adapter.method} adapter '{name}' cannot be merged into '{adapter.base}': {first_line(error)}",
            help="train an adapter of a method that can be merged, such as LORA",
        ) from error
    own = set(merged.state_dict())
    plain = {key.removeprefix("base_model.model.").replace(".modules_to_save", "") for key in held}
    return merged, plain & own


def _apart(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights as a file can hold them: of those that share memory, such as tied ones, the first alone."""
    seen: set[tuple[int, int]] = set()
    apart: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.numel())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        apart[name] = tensor.contiguous()
    return apart
