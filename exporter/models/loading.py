"""Load a checkpoint for a plan, with its keys checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exporter.errors import CheckpointError, first_line, some
from exporter.models.accounting import (
    Skeleton,
    account,
    check_missing,
    check_placed_once,
    check_size,
    make_skeleton,
)
from exporter.models.checkpoints.contradictions import explain_ids
from exporter.models.checkpoints.conversion import convert_checkpoint
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.weights import Weights, open_weights, unwrap
from exporter.models.configs import find_class, load_config, quiet_libraries
from exporter.models.flat_model import TORCH_DTYPES
from exporter.models.run_time_flags import flag_remarks
from exporter.models.sentence_head import attach_head, load_head
from exporter.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with the weights of a checkpoint.

    Attributes:
        model: the model, in evaluation mode.
        missing: the names of parameters the checkpoint had no values for. Those are random, and a graph that uses one
            must fail.
        remarks: what the reader of an artifact must know of how the checkpoint was taken.
        weights: the weights of the checkpoint.
        skeleton: the model without values.
    """

    model: Any
    missing: frozenset[str]
    remarks: tuple[str, ...]
    weights: Weights
    skeleton: Skeleton

    def check_used(self, used: set[str], checkpoint: Checkpoint) -> None:
        """Fail when a graph uses weights the checkpoint does not have.

        Raises:
            CheckpointError: names them.
        """
        check_missing(self.missing & used, self.weights, self.skeleton, checkpoint)


def load_model(plan: Plan, checkpoint: Checkpoint, *, attention: str | None = None) -> Loaded:
    """Load a checkpoint for a plan, mapped from its file where the dtype allows.

    Args:
        plan: what is built; its dtype is the model's.
        checkpoint: where the weights are.
        attention: the attention implementation, or None for the plan's, which by default is that of transformers.

    Raises:
        CheckpointError: weights are of the wrong shape, have no place in the model, or cannot be read.
    """
    config = load_config(checkpoint, plan.model.config)
    cls = find_class(plan, config, checkpoint)
    weights = open_weights(checkpoint)
    skeleton = make_skeleton(cls, config, checkpoint, len(weights.tensors))
    weights = unwrap(weights, skeleton.shapes, skeleton.prefix)
    check_placed_once(skeleton, weights, checkpoint)
    check_size(skeleton, weights, checkpoint)
    attention = attention or plan.model.attention
    options: dict[str, Any] = {"attn_implementation": attention} if attention is not None else {}
    try:
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.sizes.seed)
            model, info = cls.from_pretrained(
                # Tensors, and no directory: transformers would look there for other weights and for adapters.
                None,
                state_dict=dict(weights.tensors),
                config=config,
                dtype=TORCH_DTYPES[plan.model.dtype],
                output_loading_info=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except Exception as error:
        raise CheckpointError(
            f"'{checkpoint.name}' cannot be loaded as {cls.__name__} from {some(checkpoint.weight_files)}: "
            f"{first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    remarks = (*flag_remarks(checkpoint.read_config(), config), *account(skeleton, weights, info, checkpoint))
    if plan.model.head:
        attach_head(model, load_head(plan.model.head, checkpoint).to(TORCH_DTYPES[plan.model.dtype]))
    _cast_strays(model, TORCH_DTYPES[plan.model.dtype])
    missing = frozenset(info["missing_keys"]) - skeleton.computed
    return Loaded(model.eval(), missing, remarks, weights, skeleton)


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
    skeleton = make_skeleton(find_class(plan, config, checkpoint), config, checkpoint)
    return convert_checkpoint(checkpoint, skeleton.shapes, directory)


def parameter_names(model: torch.nn.Module, tensors: list[torch.Tensor]) -> set[str]:
    """Return the names, in the model, of the parameters that share storage with the given tensors."""
    used = {
        tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size()
        for tensor in tensors
        if tensor.numel()
    }
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.data_ptr() in used}
