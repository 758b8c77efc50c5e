"""References: tiny models with random weights through which signals survive."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exporter.errors import ExportError, first_line
from exporter.language.spec import overlay_config
from exporter.models.arrays import to_torch
from exporter.models.configs import find_class, make_config, quiet_libraries
from exporter.models.flat_model import FlatModel
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Plan

# The variance below which the input of a batch norm is faint. Such a norm gets the statistics of that input, and so
# scales what varies back to order one. A norm whose input varies more keeps the statistics that were drawn: measured
# ones in every layer of a deep stack would blow up all differences, those of rounding too.
_FAINT = 0.01


def make_reference(plan: Plan) -> Any:
    """Return the reference of a plan, with seeded weights through which signals survive.

    Raises:
        ExportError: the model cannot be built from the reference's config.
    """
    config = make_config(plan.model.architecture, overlay_config(plan.model.reference_config, plan.model.config))
    cls = find_class(plan, config)
    try:
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.sizes.seed)
            if plan.model.attention is not None:
                config._attn_implementation = plan.model.attention
            model = cls(config)
            initialize_weights(model, plan.sizes.seed, plan.model.reference_gain)
            measure_norms(model.eval(), plan)
    except Exception as error:
        raise ExportError(
            f"the reference of '{plan.model.architecture}' does not build: {first_line(error)}"
        ) from error
    return model.eval()


def save_reference(plan: Plan, directory: Path) -> None:
    """Make the reference of a plan and save it as a checkpoint.

    Raises:
        ExportError: the model cannot be built from the reference's config, or not saved.
    """
    model = make_reference(plan)
    try:
        with quiet_libraries():
            model.save_pretrained(directory)
    except Exception as error:
        raise ExportError(
            f"the reference of '{plan.model.architecture}' cannot be saved: {first_line(error)}"
        ) from error


@torch.no_grad()
def initialize_weights(model: nn.Module, seed: int, gain: float = 1.0) -> None:
    """Draw weights that keep activations of order one, in place.

    A model as initialised for training has zero biases, unit norms and weights so small that whole branches vanish
    below any tolerance; a graph that dropped them would pass. Matrices get normal weights scaled by their fan-in,
    embeddings normal weights, norms and biases values around their usual ones. ``gain`` scales the matrices: a model
    that normalizes nothing would grow without it.
    """
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in embeddings:
            parameter.copy_(noise * 0.5)
        elif parameter.ndim >= 2:
            fan_in = math.prod(parameter.shape[1:])
            parameter.copy_(noise * gain / math.sqrt(max(fan_in, 1)))
        elif name.endswith("bias"):
            parameter.copy_(noise * 0.1)
        else:
            parameter.copy_(1 + noise * 0.1)
    for name, buffer in sorted(model.named_buffers()):
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            buffer.copy_(1 + torch.rand(buffer.shape, generator=generator))


@torch.no_grad()
def measure_norms(model: nn.Module, plan: Plan) -> None:
    """Give each batch norm with a faint input the statistics of that input, measured on the plan's dummies, in place.

    With statistics drawn at random, a deep stack of convolutions shrinks what varies at every layer until only biases
    are left. Its output no longer depends on the image, and agreement with it would prove nothing.
    """
    norms = [module for module in model.modules() if _statistics(module) is not None]
    if not norms:
        return
    seen: set[nn.Module] = set()

    def measure_once(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if norm not in seen:
            seen.add(norm)
            measure_norm(norm, inputs)

    hooks = [norm.register_forward_pre_hook(measure_once) for norm in norms]
    try:
        for graph in plan.graphs:
            tensors = map(to_torch, make_dummies(graph, plan.sizes.trace, plan.sizes.seed).values())
            # A reference is made in float32, whatever it is built in.
            inputs = (tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors)
            FlatModel(model, graph).eval().leaves(*inputs)
    except Exception:
        return  # a model that refuses its dummies fails, with a message, where it is run for its outputs
    finally:
        for hook in hooks:
            hook.remove()


def _statistics(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    return (mean, variance) if isinstance(mean, torch.Tensor) and isinstance(variance, torch.Tensor) else None


def measure_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """Move a batch norm's statistics to those of a faint input ``[batch, channels, …]``, in place."""
    statistics = _statistics(module)
    if statistics is None or not inputs or inputs[0].ndim < 2 or inputs[0].shape[1] != len(statistics[0]):
        return
    channels = inputs[0].transpose(0, 1).flatten(1)
    variance = channels.var(1, correction=0).mean()
    if 0 < variance < _FAINT:
        statistics[0].mul_(variance.sqrt()).add_(channels.mean(1))
        statistics[1].mul_(variance)
