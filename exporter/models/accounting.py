"""Where every weight of a checkpoint went: into the model, to another task's head, or nowhere, which is refused."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from exporter.errors import CheckpointError, first_line, some
from exporter.models.checkpoints.contradictions import Depths, explain_depth, explain_ids, explain_shapes
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.weights import Weights
from exporter.models.configs import quiet_libraries

# Buffers of models as they were: computed today, or not kept in a file any more. They hold nothing that was trained.
_OLD_BUFFERS = frozenset({"position_ids", "token_type_ids", "inv_freq", "masked_bias", "num_batches_tracked"})
# A model that wants more than this many times the parameters a file has, and more than this many, is not the file's.
_MANY_TIMES = 10
_MANY = 10_000
# The same for the values in them.
_LARGER = 4
_LARGE = 50_000_000


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A model without values: the shape of every parameter and buffer that a file may hold, and what it computes.

    Attributes:
        model: the model, on torch's meta device.
        shapes: the shape of each parameter and persistent buffer, by name.
        computed: parameters that are computed and never trained, such as a table of sinusoids.
    """

    model: Any
    shapes: Mapping[str, torch.Size]
    computed: frozenset[str]

    @property
    def prefix(self) -> str:
        """The name of the base model inside a model with a head; empty where there is none."""
        return str(getattr(self.model, "base_model_prefix", "") or "")


def make_skeleton(cls: Any, config: Any, checkpoint: Checkpoint, count: int | None = None) -> Skeleton:
    """Return the model that a config describes, without allocating its values.

    Args:
        cls: the model's class.
        config: its config.
        checkpoint: whose config it is, for messages.
        count: how many weights the checkpoint has. A config that asks for far more is refused while the model is
            made, after as many layers as the weights could fill.

    Raises:
        CheckpointError: the config builds no model, or one far larger than the weights.
    """
    try:
        with quiet_libraries(), torch.device("meta"), _at_most(count, checkpoint):
            model = cls(config)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a model's code raises for values it did not expect
        raise CheckpointError(
            f"the config of '{checkpoint.name}' does not build: {first_line(error)}",
            help=explain_ids(checkpoint.path / "config.json", config.to_dict()),
        ) from error
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    computed = frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    return Skeleton(model, shapes, computed)


@contextmanager
def _at_most(count: int | None, checkpoint: Checkpoint) -> Iterator[None]:
    if count is None:
        yield
        return
    limit, made = max(_MANY, _MANY_TIMES * count), 0

    def check(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        made += 1
        if made > limit:
            raise CheckpointError(
                f"config.json of '{checkpoint.name}' describes a model of more than {limit:,} parameters, "
                f"and its files hold {count:,}",
                help="config.json asks for more layers than the weights are of",
            )

    hook = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()


def check_size(skeleton: Skeleton, weights: Weights, checkpoint: Checkpoint) -> None:
    """Refuse a config whose model has far more values than the weights, before memory is taken for it.

    Raises:
        CheckpointError: names the line of ``config.json`` where one can be told.
    """
    wanted = sum(shape.numel() for shape in skeleton.shapes.values())
    held = sum(math.prod(weights.shape(name)) for name in weights.tensors)
    if wanted <= max(_LARGE, _LARGER * held):
        return
    differing = list(_differing(skeleton, weights))
    raise CheckpointError(
        f"config.json of '{checkpoint.name}' describes a model of {wanted:,} values, and its weights have {held:,}",
        help=explain_shapes(checkpoint.path / "config.json", skeleton.model.config.to_dict(), differing)
        or "its config.json does not describe its weights",
    )


def _differing(skeleton: Skeleton, weights: Weights) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    for name in weights.tensors:
        for candidate in (name, f"{skeleton.prefix}.{name}", name.removeprefix(f"{skeleton.prefix}.")):
            shape = skeleton.shapes.get(candidate)
            if shape is not None:
                if tuple(shape) != weights.shape(name):
                    yield candidate, weights.shape(name), tuple(shape)
                break


def check_placed_once(skeleton: Skeleton, weights: Weights, checkpoint: Checkpoint) -> None:
    """Refuse a file in which two weights have one place in the model, with and without the base model's prefix.

    Raises:
        CheckpointError: names them.
    """
    prefix = skeleton.prefix
    if not prefix:
        return
    both = sorted(
        name
        for name in weights.tensors
        if not name.startswith(f"{prefix}.")
        and f"{prefix}.{name}" in weights.tensors
        and (name in skeleton.shapes) != (f"{prefix}.{name}" in skeleton.shapes)
    )
    if both:
        raise CheckpointError(
            f"'{checkpoint.name}' holds {len(both)} weights twice, "
            f"with the prefix '{prefix}.' and without: {some(both)}",
            help="save the model again with save_pretrained",
        )


def account(skeleton: Skeleton, weights: Weights, info: Mapping[str, Any], checkpoint: Checkpoint) -> tuple[str, ...]:
    """Hold what was loaded against what the file holds, and return remarks on what no graph will have.

    Args:
        skeleton: the model.
        weights: the weights of the checkpoint.
        info: what transformers says of the loading: keys that are missing, unexpected or of another shape.
        checkpoint: where they are from.

    Raises:
        CheckpointError: a weight has another shape than the model's, or belongs to the model and has no place in it.
    """
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        shown = (
            f"{name} is {list(in_file)} in the file and {list(in_model)} in the model"
            for name, in_file, in_model in mismatched
        )
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(mismatched)} weights of the wrong shape: {some(shown)}",
            help=explain_shapes(checkpoint.path / "config.json", skeleton.model.config.to_dict(), mismatched)
            or "its config.json does not describe its weights",
        )
    if info.get("error_msgs"):
        raise CheckpointError(f"'{checkpoint.name}' cannot be loaded: {some(map(first_line, info['error_msgs']))}")
    buffers = sorted(name for name in _ignored(skeleton, weights) if name not in info["unexpected_keys"])
    left = [name for name in sorted(info["unexpected_keys"]) if not _is_buffer(name, skeleton)]
    buffers += sorted(set(info["unexpected_keys"]) - set(left))
    heads = sorted(set(left) & _names_of_relatives(left, skeleton)) if left else []
    stray = sorted(set(left) - set(heads))
    if stray:
        name = type(skeleton.model).__name__
        raise CheckpointError(
            f"'{checkpoint.name}' has {len(stray)} weights that {name} with this config has no place for: "
            f"{some(stray)}",
            help=_explain_layers(stray, skeleton, checkpoint, of_file=weights.tensors, of_model=skeleton.shapes)
            or _explain_stray(stray, skeleton),
        )
    return (*_remark_wrapping(weights), *_remark(heads, "of other tasks"), *_remark(buffers, "computed by the model"))


def _remark_wrapping(weights: Weights) -> Iterator[str]:
    if weights.wrapping:
        yield f"its weights were taken out of what a training loop wrapped them in: {', '.join(weights.wrapping)}"


def _remark(names: list[str], kind: str) -> Iterator[str]:
    if names:
        plural = "s are" if len(names) > 1 else " is"
        yield f"{len(names)} weight{plural} left out, {kind}: {some(names)}"


def _ignored(skeleton: Skeleton, weights: Weights) -> Iterator[str]:
    """Yield the weights that transformers passes over without a word: old buffers, and what the class declares."""
    patterns = list(getattr(skeleton.model, "_keys_to_ignore_on_load_unexpected", None) or ())
    patterns += [rf"(?:^|\.){buffer}$" for buffer in sorted(_OLD_BUFFERS)]
    ignored = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    prefix = skeleton.prefix
    for name in weights.tensors:
        known = {name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")} & skeleton.shapes.keys()
        if not known and ignored.search(name):
            yield name


def _is_buffer(name: str, skeleton: Skeleton) -> bool:
    """Tell whether an unexpected weight is a buffer that the model computes and keeps in no file."""
    path, _, leaf = name.rpartition(".")
    modules = [module for start in _starts(skeleton) if (module := _module_at(start, path)) is not None]
    return bool(modules) and (
        leaf in _OLD_BUFFERS or any(leaf in dict(module.named_buffers(recurse=False)) for module in modules)
    )


def _starts(skeleton: Skeleton) -> list[nn.Module]:
    """Return where the names of weights may begin: at the model, or at its base model."""
    base = getattr(skeleton.model, skeleton.prefix, None) if skeleton.prefix else None
    return [skeleton.model, *([base] if isinstance(base, nn.Module) else [])]


def _module_at(start: nn.Module, path: str) -> nn.Module | None:
    module: Any = start
    for step in path.split(".") if path else ():
        module = getattr(module, step, None)
        if not isinstance(module, nn.Module):
            return None
    return module if isinstance(module, nn.Module) else None


def _names_of_relatives(names: Iterable[str], skeleton: Skeleton) -> set[str]:
    """Return those names that a class of the same architecture has: the heads of other tasks.

    The same config decides how deep the other classes are, so a layer too many is nobody's.
    """
    prefix = skeleton.prefix
    open_names = {name: name.removeprefix(f"{prefix}.") if prefix else name for name in names}
    theirs: set[str] = set()
    for cls in _relatives(type(skeleton.model)):
        try:
            with quiet_libraries(), torch.device("meta"):
                other = cls(skeleton.model.config)
        except Exception:  # a class that this config does not build has no weights in the file
            continue
        own_prefix = str(getattr(other, "base_model_prefix", "") or "")
        theirs |= {name.removeprefix(f"{own_prefix}.") if own_prefix else name for name in other.state_dict()}
        theirs |= other.state_dict().keys()
        if all(bare in theirs or name in theirs for name, bare in open_names.items()):
            break
    return {name for name, bare in open_names.items() if bare in theirs or name in theirs}


def _relatives(cls: type) -> list[type]:
    """Return the other classes of models in a class's own source file that take its config."""
    module = sys.modules.get(cls.__module__)
    classes = [value for value in vars(module).values() if isinstance(value, type)] if module is not None else []
    return [
        other
        for other in classes
        if issubclass(other, nn.Module)
        and other is not cls
        and other.__module__ == cls.__module__
        and getattr(other, "config_class", None) is not None
        and getattr(other, "config_class", None) is getattr(cls, "config_class", None)
        and not other.__name__.endswith("PreTrainedModel")
    ]


def _explain_layers(
    names: Iterable[str], skeleton: Skeleton, checkpoint: Checkpoint, *, of_file: Iterable[str], of_model: Iterable[str]
) -> str | None:
    """Return a sentence on the number of layers, where the file has another than the config asks for."""
    prefix = skeleton.prefix

    def bare(listed: Iterable[str]) -> list[str]:
        return [name.removeprefix(f"{prefix}.") if prefix else name for name in listed]

    config, values = checkpoint.path / "config.json", skeleton.model.config.to_dict()
    return explain_depth(config, values, bare(names), Depths(bare(of_file), bare(of_model)))


def _explain_stray(stray: list[str], skeleton: Skeleton) -> str:
    inside = [name for name in stray if any(_module_at(start, name.split(".")[0]) for start in _starts(skeleton))]
    if inside:
        return "config.json asks for another variant of the model than the weights are of"
    return (
        "no model of this architecture has weights of these names: export the checkpoint with the class that saved it, "
        "or save it again without them"
    )


def check_missing(missing: Iterable[str], weights: Weights, skeleton: Skeleton, checkpoint: Checkpoint) -> None:
    """Fail when there are weights that a graph uses and the checkpoint does not have.

    Raises:
        CheckpointError: names them, as the checkpoint's own file would.
    """
    lacking = sorted(missing)
    if not lacking:
        return
    names = [weights.name_in_file(name, skeleton.prefix) for name in lacking]
    prefix = skeleton.prefix
    in_base = [name for name in lacking if not prefix or name.startswith(f"{prefix}.")]
    layers = _explain_layers(in_base, skeleton, checkpoint, of_file=weights.tensors, of_model=skeleton.shapes)
    raise CheckpointError(
        f"'{checkpoint.name}' lacks {len(lacking)} weights that {type(skeleton.model).__name__} needs: {some(names)}",
        help=layers
        or (
            "the file is incomplete, or its names are not those of this architecture"
            if len(in_base) == len(lacking)
            else "choose a task the checkpoint was trained for, or the checkpoint that was fine-tuned for this one"
        ),
    )
