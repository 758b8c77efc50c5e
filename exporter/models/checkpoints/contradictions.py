"""Where a config contradicts the weights beside it: which line of ``config.json`` to change, and to what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.models.checkpoints.directory import read_json

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
                reasons.append(f"{_place(config, key)} names {of_model} labels, and the weights have {of_file}")
            else:
                reasons.append(f"{_place(config, key)} is {of_model}, and the weights have {of_file}")
    return "; or ".join(reasons[:_SHOWN]) or None


def explain_ids(config: Path, values: Mapping[str, Any]) -> str | None:
    """Return a sentence on the token ids of a config that lie outside its vocabulary, or None where none does."""
    vocabulary = values.get("vocab_size")
    if not isinstance(vocabulary, int):
        return None
    outside = [
        f"{_place(config, key)} is {value}, and the vocabulary ends at {vocabulary - 1}"
        for key, value in values.items()
        if key.endswith("_token_id") and isinstance(value, int) and value >= vocabulary and key in read_json(config)
    ]
    return "; ".join(outside) or None


def _keys_of_size(values: Mapping[str, Any], size: int) -> Iterator[str]:
    labels = values.get("id2label")
    if isinstance(labels, Mapping) and len(labels) == size:
        yield "id2label"
    yield from (key for key, value in values.items() if type(value) is int and value == size)


def _place(config: Path, key: str) -> str:
    for number, line in enumerate(config.read_text("utf-8").splitlines(), 1):
        if re.match(rf'\s*"{re.escape(key)}"\s*:', line):
            return f"line {number} of config.json: '{key}'"
    return f"config.json does not set '{key}', whose default"
