"""The weights of a checkpoint by name, without what training loops wrap around them.

A file of weights is opened here and nowhere else, and what a model loads is what was opened: transformers is given
tensors, never a directory in which it would look for files of its own choice.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from exporter.errors import CheckpointError, first_line, some
from exporter.models.checkpoints.directory import Checkpoint

# Steps that torch.compile and sharded or checkpointed training put into names, anywhere in them.
_WRAPPING_STEPS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# What training loops keep beside the weights, and what may look like weights.
_OPTIMIZER_KEYS = frozenset(
    {"optimizer", "optimizers", "optimizer_states", "optimizer_state_dict", "lr_schedulers", "scheduler", "callbacks"}
)
# How many steps a training loop may put in front of a name.
_LEADING = 4
# How deep a dictionary of dictionaries is searched for the one with the weights in it.
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights by the names a model has for them.

    Attributes:
        tensors: a tensor, or a slice of a mapped file, by name.
        in_file: the name each has in its file.
        wrapping: what was taken off, in words: ``{"state_dict": …}``, ``the prefix 'module.'``.
    """

    tensors: Mapping[str, Any]
    in_file: Mapping[str, str]
    wrapping: tuple[str, ...] = ()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a weight, read from its file's header where the file is mapped."""
        tensor = self.tensors[name]
        return tuple(tensor.get_shape() if hasattr(tensor, "get_shape") else tensor.shape)

    def name_in_file(self, name: str, prefix: str) -> str:
        """Return a model's name for a weight as the file would spell it; ``prefix`` is that of the base model.

        A weight that the file lacks has no name there, so the others' names tell: a file whose names all begin with
        ``module.`` and lack ``my_model.`` spells ``my_model.layer.weight`` as ``module.layer.weight``.
        """
        if name in self.in_file:
            return self.in_file[name]
        bare = name.removeprefix(f"{prefix}.") if prefix else name
        with_prefix = any(known.startswith(f"{prefix}.") for known in self.tensors)
        spelt = name if with_prefix or bare == name else bare
        first = next(iter(self.in_file), None)
        leading = self.in_file[first].removesuffix(first) if first and self.in_file[first].endswith(first) else ""
        return leading + spelt


def open_weights(checkpoint: Checkpoint) -> Weights:
    """Open the weights of a checkpoint that PyTorch can load, mapped where the format allows.

    Raises:
        CheckpointError: a file is damaged or holds more than tensors, or two files hold a weight of one name.
    """
    tensors: dict[str, Any] = {}
    wrapping: list[str] = []
    for file in checkpoint.pytorch_files():
        if file.suffix == ".safetensors":
            content = _open_safetensors(file)
        else:
            content, path = _find_weights(_load_pickle(file, checkpoint.name), file.name)
            if path:
                wrapping.append("".join(f'{{"{step}": ' for step in path) + "…" + "}" * len(path))
        twice = sorted(tensors.keys() & content.keys())
        if twice:
            raise CheckpointError(
                f"{len(twice)} weights of '{checkpoint.name}' are in two of its files: {some(twice)}",
                help="copy the whole checkpoint again",
            )
        tensors.update(content)
    if not tensors:
        raise CheckpointError(
            f"there are no weights in {some(checkpoint.weight_files)} of '{checkpoint.name}'",
            help="copy the whole checkpoint again",
        )
    return Weights(tensors, {name: name for name in tensors}, tuple(dict.fromkeys(wrapping)))


def unwrap(weights: Weights, expected: Iterable[str], prefix: str) -> Weights:
    """Return weights without the steps that a training loop put in front of their names or into them.

    Args:
        weights: the weights as they are in their file.
        expected: the names of the model's parameters and buffers.
        prefix: that of the model's base model; names may have it or lack it.

    A step in front of the names is taken off where more names are then the model's: ``module.`` of distributed
    training, or the attribute under which a training class keeps its model, whatever that is called.
    """
    own = set(expected)
    known = own | {name.removeprefix(f"{prefix}.") for name in own if prefix}
    known |= {f"{prefix}.{name}" for name in own if prefix}
    names = {name: name for name in weights.tensors}
    wrapping = list(weights.wrapping)
    inside = Counter(step for name in names for step in name.split(".") if step in _WRAPPING_STEPS)
    if inside and not any(_WRAPPING_STEPS & set(name.split(".")) for name in own):
        names = {_without(name, _WRAPPING_STEPS): in_file for name, in_file in names.items()}
        wrapping += [f"the step '{step}.'" for step in inside]
    leading = _leading_steps(names, known)
    if leading is not None:
        names = {name.removeprefix(f"{leading}."): in_file for name, in_file in names.items()}
        wrapping.append(f"the prefix '{leading}.'")
    if len(names) < len(weights.tensors):
        raise CheckpointError(
            f"weights have one name twice once {' and '.join(wrapping)} is taken off",
            help="save the model itself with save_pretrained, not what a training loop wrapped it in",
        )
    return Weights({name: weights.tensors[in_file] for name, in_file in names.items()}, names, tuple(wrapping))


def _without(name: str, steps: frozenset[str]) -> str:
    return ".".join(step for step in name.split(".") if step not in steps)


def _leading_steps(names: Iterable[str], known: set[str]) -> str | None:
    """Return the steps in front of names without which more of them are known, or None where none are in the way."""
    behind: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for name in names:
        steps = name.split(".")
        for count in range(1, min(len(steps), _LEADING + 1)):
            leading = ".".join(steps[:count])
            before[leading] += name in known
            if ".".join(steps[count:]) in known:
                behind[leading] += 1
                break
    leading, gained = max(behind.items(), key=lambda item: item[1], default=("", 0))
    return leading if gained > before[leading] else None


def _open_safetensors(file: Path) -> dict[str, Any]:
    opened: Any = safe_open(file, "pt")
    return {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping, though it has keys


def _load_pickle(file: Path, checkpoint: str) -> Any:
    try:
        # Older files are no archives and cannot be mapped.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file.name} of '{checkpoint}' is damaged or holds more than tensors, which is never loaded",
            help="save the model as safetensors with save_pretrained, on a machine that may run what the file holds",
        ) from error
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        raise CheckpointError(
            f"{file.name} of '{checkpoint}' cannot be read: {first_line(error)}", help="download or copy the file again"
        ) from error


def _find_weights(content: Any, file: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the dictionary of tensors in what a file holds, and the keys that lead to it.

    Raises:
        CheckpointError: there is none, or several.
    """
    places = list(_dictionaries_of_tensors(content, ()))
    if len(places) == 1:
        path, weights = places[0]
        return weights, path
    if not places:
        held = (
            f"a dictionary with {some(map(repr, content))}" if isinstance(content, Mapping) else type(content).__name__
        )
        raise CheckpointError(
            f"{file} holds no dictionary of tensors, but {held}",
            help="save the model with save_pretrained, or its state_dict() with torch.save",
        )
    shown = some(repr(".".join(path)) for path, _ in places)
    raise CheckpointError(
        f"{file} holds {len(places)} dictionaries of tensors: {shown}",
        help="save the one to export alone: torch.save(torch.load(FILE)[KEY], 'pytorch_model.bin')",
    )


def _dictionaries_of_tensors(content: Any, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    if not isinstance(content, Mapping) or len(path) > _DEPTH:
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    inner = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Mapping)}
    # A number beside a dictionary of weights, such as the best loss so far, is a tensor without axes.
    if tensors and all(isinstance(key, str) for key in tensors) and (not inner or _has_axes(tensors)):
        yield path, tensors
        return
    for key, value in inner.items():
        if key not in _OPTIMIZER_KEYS:
            yield from _dictionaries_of_tensors(value, (*path, key))


def _has_axes(tensors: Mapping[str, torch.Tensor]) -> bool:
    return any(tensor.ndim for tensor in tensors.values())
