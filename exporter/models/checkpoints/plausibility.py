"""Hold the numbers of ``config.json`` against the weights beside it, before a model is made of them.

A config is a few bytes that ask for any amount of memory. No number of layers, labels or rows is larger than what the
files of weights could fill, so a number beyond that is refused while nothing has been allocated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError
from exporter.models.checkpoints.contradictions import is_depth, place_in_config

# Numbers below these are never looked at: a model whose layers share their weights may have more layers than weights,
# and fewer labels than these take no time to make.
_LAYERS = 1_000
_LABELS = 100_000
_SIZE = 100_000_000
# Words in the names of keys whose numbers are sizes of weights or of tables that are computed.
_SIZES = re.compile(r"(?:^|_)(?:size|dim|channels|heads|width|positions?|embeddings|vocab|hidden|n|d)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a checkpoint's weights are: how many, and how many values they have, or an upper bound of both."""

    weights: int
    values: int


def check_plausible(config: Path, data: Mapping[str, Any], extent: Extent) -> None:
    """Check that no number of a config exceeds what the weights could fill.

    Raises:
        CheckpointError: names the line, the number, and how much the weights are.
    """
    for key, number in _numbers(data):
        if is_depth(key) and number > max(_LAYERS, extent.weights):
            raise _implausible(config, key, number, f"there are {extent.weights:,} weights at most")
        if key in ("num_labels", "_num_labels") and number > max(_LABELS, extent.values):
            raise _implausible(config, key, number, f"all weights have {extent.values:,} values at most")
        if _SIZES.search(key) and number > max(_SIZE, extent.values):
            raise _implausible(config, key, number, f"all weights have {extent.values:,} values at most")


def _implausible(config: Path, key: str, number: float, held: str) -> CheckpointError:
    return CheckpointError(
        f"{place_in_config(config, key)} is {number:,.0f}, and {held}",
        help="correct the number in config.json, or copy the whole checkpoint again",
    )


def _numbers(data: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a config with their keys, those in lists and in the configs of parts too."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from _numbers(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _numbers(value, key)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield key, data
