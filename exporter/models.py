"""Build the model a plan refers to: configs, classes, references and checkpoints.

Importing this module imports torch and transformers; nothing on the way of `lint`, `list` or `show` does.
"""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.utils import logging as transformers_logging

from exporter.arrays import to_torch
from exporter.checkpoints.contradictions import explain_ids, explain_shapes
from exporter.checkpoints.conversion import convert_checkpoint
from exporter.checkpoints.directory import Checkpoint, pytorch_class
from exporter.diagnostics import CheckpointError, ExporterError, ExportError, UsageError, did_you_mean
from exporter.dummies import make_dummies
from exporter.flatten import TORCH_DTYPES, FlatModel
from exporter.planning import Plan
from exporter.source import Data
from exporter.spec import overlay_config

_SHOWN = 8
# A batch norm whose input varies less than this is told so. Those with more are left as drawn: a stack of layers that each subtract
# their mean blows up differences, those of rounding too.
_FAINT = 0.01


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers' and torch's own progress and advice off the terminal; failures still raise."""
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
        raise CheckpointError(f"transformers refuses the config of '{architecture}': {_first_line(error)}") from error


def load_config(checkpoint: Checkpoint, task_config: Mapping[str, Data], *, trust_remote_code: bool = False) -> Any:
    """Return the config of a checkpoint with the task's settings applied.

    Raises:
        CheckpointError: transformers cannot read it.
    """
    if "model_type" not in checkpoint.read_config():
        raise CheckpointError(
            f"config.json of '{checkpoint.name}' has no 'model_type'",
            help='add "model_type": "<architecture>" to config.json',
        )
    try:
        with quiet_libraries():
            config = transformers.AutoConfig.from_pretrained(
                checkpoint.path, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:
        hint = (
            "pass --trust-remote-code to run the checkpoint's own code" if "trust_remote_code" in str(error) else None
        )
        raise CheckpointError(
            f"the config of '{checkpoint.name}' cannot be loaded: {_first_line(error)}", help=hint
        ) from error
    for key, value in task_config.items():
        setattr(config, key, value)
    return config


def find_class(plan: Plan, config: Any, *, trust_remote_code: bool = False) -> Any:
    """Return the model class of a plan.

    Raises:
        ExportError: the class does not exist, or the auto class does not know the config.
    """
    if plan.model_class is not None:
        found = getattr(transformers, plan.model_class, None)
        if found is None:
            raise ExportError(f"transformers {transformers.__version__} has no class '{plan.model_class}'")
        return found
    auto = getattr(transformers, plan.auto_class or "", None)
    if auto is None:
        raise ExportError(f"transformers {transformers.__version__} has no auto class '{plan.auto_class}'")
    if trust_remote_code and getattr(config, "auto_map", None):
        return auto
    mapping = auto._model_mapping
    if type(config) not in mapping:
        raise ExportError(
            f"{plan.auto_class} does not know the architecture '{plan.architecture}'",
            help="remove the task from the spec, or name the class under 'class:'",
        )
    classes = mapping[type(config)]
    if not isinstance(classes, tuple):
        return classes
    named = {pytorch_class(str(name)) for name in getattr(config, "architectures", None) or ()}
    return next((one for one in classes if one.__name__ in named), classes[0])


def make_reference(plan: Plan) -> Any:
    """Return the reference of a plan, with seeded weights through which signals survive.

    Raises:
        ExportError: the model cannot be built from the reference's config.
    """
    config = make_config(plan.architecture, overlay_config(plan.reference_config, plan.config))
    cls = find_class(plan, config)
    try:
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            model = cls(config)
            initialize_weights(model, plan.seed, plan.reference_gain)
            measure_norms(model.eval(), plan)
    except Exception as error:
        raise ExportError(f"the reference of '{plan.architecture}' does not build: {_first_line(error)}") from error
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
        raise ExportError(f"the reference of '{plan.architecture}' cannot be saved: {_first_line(error)}") from error


def run_model(
    call: Callable[..., Any], inputs: tuple[torch.Tensor, ...], what: str, fixed: Mapping[str, int] | None = None
) -> Any:
    """Call a model without gradients and turn whatever it raises into an ExportError.

    Raises:
        ExportError: the model refuses the inputs of ``what``.
    """
    try:
        with torch.no_grad(), quiet_libraries():
            return call(*inputs)
    except ExporterError:
        raise
    except Exception as error:
        raise ExportError(
            f"the model refuses the inputs declared for {what}: {type(error).__name__}: {_first_line(error)}",
            help=f"check that the model takes the sizes given with --dim: {', '.join(f'{dim}={size}' for dim, size in fixed.items())}"
            if fixed
            else "compare 'exporter plan' with the model's forward()",
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
    """Give batch norms that a faint signal reaches its own statistics, measured on the plan's dummies, in place.

    With statistics drawn at random, a deep stack of convolutions shrinks what varies at every layer until only biases are left, and its
    output no longer depends on the image: agreement would prove nothing.
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
            tensors = map(to_torch, make_dummies(graph, plan.trace, plan.seed).values())
            # A reference is made in float32, whatever it is built in.
            inputs = (tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors)
            FlatModel(model, graph).eval().leaves(*inputs)
    except Exception:
        return  # what the model refuses is told where it is run for its outputs
    finally:
        for hook in hooks:
            hook.remove()


def _statistics(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    return (mean, variance) if isinstance(mean, torch.Tensor) and isinstance(variance, torch.Tensor) else None


def measure_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """Move a batch norm's statistics to those of an input ``[batch, channels, …]`` that hardly varies, in place."""
    statistics = _statistics(module)
    if statistics is None or not inputs or inputs[0].ndim < 2 or inputs[0].shape[1] != len(statistics[0]):
        return
    channels = inputs[0].transpose(0, 1).flatten(1)
    variance = channels.var(1, correction=0).mean()
    if 0 < variance < _FAINT:
        statistics[0].mul_(variance.sqrt()).add_(channels.mean(1))
        statistics[1].mul_(variance)


def load_model(
    plan: Plan, checkpoint: Checkpoint, *, attention: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, set[str]]:
    """Load a checkpoint for a plan, mapped from its file where the dtype allows.

    Args:
        plan: what is built; its dtype is the model's.
        checkpoint: where the weights are.
        attention: the attention implementation, or None for the model's default.
        trust_remote_code: let the checkpoint run code of its own.

    Returns:
        The model in evaluation mode, and the names of parameters the checkpoint had no values for. Those are random,
        and a graph that uses one must fail.

    Raises:
        CheckpointError: weights are of the wrong shape, belong to layers the config does not have, or cannot be read.
    """
    config = load_config(checkpoint, plan.config, trust_remote_code=trust_remote_code)
    cls = find_class(plan, config, trust_remote_code=trust_remote_code)
    options: dict[str, Any] = {"attn_implementation": attention} if attention is not None else {}
    if trust_remote_code:
        options["trust_remote_code"] = True
    try:
        with quiet_libraries(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            model, info = cls.from_pretrained(
                checkpoint.pytorch_path, config=config, dtype=TORCH_DTYPES[plan.dtype], output_loading_info=True,
                local_files_only=True, ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{_some(checkpoint.weight_files)} of '{checkpoint.name}' is damaged or holds more than tensors, which is never loaded",
            help="save the model as safetensors with save_pretrained, on a machine that may run what the file holds",
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"'{checkpoint.name}' cannot be loaded as {cls.__name__} from {_some(checkpoint.weight_files)}: {_first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    _check_loading(model, info, checkpoint)
    _cast_strays(model, TORCH_DTYPES[plan.dtype])
    missing = set(info["missing_keys"])
    return model.eval(), missing - _computed_parameters(model) if missing else missing


def _computed_parameters(model: Any) -> set[str]:
    """Return the parameters a model never trains, such as a table of sinusoids: it computes them, and some checkpoints leave them out.

    Loading forgets which they are, so a fresh model without data is asked.
    """
    with quiet_libraries(), torch.device("meta"):
        fresh = type(model)(model.config)
    return {name for name, parameter in fresh.named_parameters() if not parameter.requires_grad}


def _cast_strays(model: nn.Module, dtype: torch.dtype) -> None:
    """Give the build's dtype to parameters that a model makes in float32 and transformers leaves so.

    Multiplied with the others they stop the model. Those it keeps in float32 on purpose stay.
    """
    kept = {
        *(getattr(model, "_keep_in_fp32_modules", None) or ()),
        *(getattr(model, "_keep_in_fp32_modules_strict", None) or ()),
    }
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != dtype and not kept & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)


def convert_weights(
    plan: Plan, checkpoint: Checkpoint, directory: Path, *, trust_remote_code: bool = False
) -> Checkpoint:
    """Return a checkpoint whose weights PyTorch can load, converted into ``directory`` where they are another framework's.

    Raises:
        CheckpointError: the weights are damaged, or the package that reads them is not installed.
        ExportError: the model's class cannot be found.
    """
    if checkpoint.framework == "pt":
        return checkpoint
    config = load_config(checkpoint, plan.config, trust_remote_code=trust_remote_code)
    cls = find_class(plan, config, trust_remote_code=trust_remote_code)
    try:
        with quiet_libraries(), torch.device("meta"):
            model = cls(config)
    except Exception as error:
        raise CheckpointError(
            f"the config of '{checkpoint.name}' does not build: {_first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    return convert_checkpoint(checkpoint, shapes, directory)


def _check_loading(model: Any, info: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        shown = (
            f"{name} is {list(found)} in the file and {list(wanted)} in the model" for name, found, wanted in mismatched
        )
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(mismatched)} weights of the wrong shape: {_some(shown)}",
            help=explain_shapes(checkpoint.path / "config.json", model.config.to_dict(), mismatched)
            or "its config.json does not describe its weights",
        )
    if info.get("error_msgs"):
        raise CheckpointError(f"'{checkpoint.name}' cannot be loaded: {_some(map(str, info['error_msgs']))}")
    stray = sorted(name for name in info["unexpected_keys"] if _belongs_inside(name, model))
    if stray:
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(stray)} weights that {type(model).__name__} with this config has no place for: {_some(stray)}",
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


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.split("\n", 1)[0][:300]
