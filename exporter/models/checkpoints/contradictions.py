"""Where a config contradicts the weights beside it: which line of ``config.json`` to change, and to what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.models.checkpoints.json_file import read_json

Shape = tuple[int, ...]
_SHOWN = 3


def explain_shapes(
    config: Path, values: Mapping[str, Any], mismatched: Iterable[tuple[str, Shape, Shape]]
) -> str | None:
    """Return a sentence on the config values that the shapes of weights contradict.

    Args:
        config: the checkpoint's ``config.json``.
        values: the whole config, defaults included.
        mismatched: the name of each weight, its shape in the file, and the shape the config asks for.

    Returns:
        The sentence, which names lines and values, or None where no value of the config has the size in question.
    """
    sizes = {
        (of_file, of_model)
        for _, in_file, in_model in mismatched
        if len(in_file) == len(in_model)
        for of_file, of_model in zip(in_file, in_model, strict=True)
        if of_file != of_model
    }
    reasons: list[str] = []
    for of_file, of_model in sorted(sizes):
        for key in _keys_of_size(values, of_model):
            if key == "id2label":
                reasons.append(
                    f"{place_in_config(config, key)} names {of_model} labels, and the weights have {of_file}"
                )
            else:
                reasons.append(f"{place_in_config(config, key)} is {of_model}, and the weights have {of_file}")
    return "; or ".join(reasons[:_SHOWN]) or None


@dataclass(frozen=True, slots=True)
class Depths:
    """The names of weights in a file and in the model of its config; numbers in them tell how many layers each has."""

    in_file: Sequence[str]
    in_model: Sequence[str]


def explain_depth(config: Path, values: Mapping[str, Any], names: Iterable[str], depths: Depths) -> str | None:
    """Return a sentence on the config's number of layers, where weights are of more or of fewer.

    Args:
        config: the checkpoint's ``config.json``.
        values: the whole config, defaults included.
        names: the weights in question: those that the model has no place for, or those that the file lacks.
        depths: all names of the file and of the model.

    Returns:
        The sentence, or None where both have the same layers.
    """
    for name in names:
        for number in re.finditer(r"(?<=\.)\d+(?=\.)", f".{name}"):
            stem = f".{name}"[1 : number.start()]
            of_file, of_model = _layers(depths.in_file, stem), _layers(depths.in_model, stem)
            if of_file and of_model and of_file != of_model:
                lines = [place_in_config(config, key) for key in _keys_of_size(values, of_model) if is_depth(key)]
                said = f"{' or '.join(lines)} is {of_model}" if lines else f"config.json asks for {of_model}"
                return f"{said}, and the weights have {of_file} ({stem}0 to {stem}{of_file - 1})"
    return None


def is_depth(key: str) -> bool:
    """Tell whether a key of a config is a number of layers: ``num_hidden_layers``, ``n_layer``, ``depths``."""
    return bool(re.search(r"(?:^|_)(?:layers?|depths?|blocks?)$", key))


def _layers(names: Iterable[str], stem: str) -> int:
    """Return how many layers names have under a stem: one more than the highest number that follows the stem."""
    numbers = (name[len(stem) :].partition(".")[0] for name in names if name.startswith(stem))
    return max((int(number) + 1 for number in numbers if number.isdigit()), default=0)


def explain_ids(config: Path, values: Mapping[str, Any]) -> str | None:
    """Return a sentence on the token ids of a config that lie outside its vocabulary, or None where none does."""
    vocabulary = values.get("vocab_size")
    if not isinstance(vocabulary, int):
        return None
    outside = [
        f"{place_in_config(config, key)} is {value}, and the vocabulary ends at {vocabulary - 1}"
        for key, value in values.items()
        if key.endswith("_token_id") and isinstance(value, int) and value >= vocabulary and key in read_json(config)
    ]
    return "; ".join(outside) or None


def _keys_of_size(values: Mapping[str, Any], size: int) -> Iterator[str]:
    labels = values.get("id2label")
    if isinstance(labels, Mapping) and len(labels) == size:
        yield "id2label"
    yield from (key for key, value in values.items() if type(value) is int and value == size)


def place_in_config(config: Path, key: str) -> str:
    """Return where a config sets a key, as a message names it: ``line 3 of config.json: 'vocab_size'``."""
    for number, line in enumerate(config.read_text("utf-8").splitlines(), 1):
        if re.search(rf'"{re.escape(key)}"\s*:', line):
            return f"line {number} of config.json: '{key}'"
    return f"config.json does not set '{key}', whose default"
