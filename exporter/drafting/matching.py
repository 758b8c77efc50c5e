"""Which expression over the config gives a measured size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any

from exporter.language.expressions import ExpressionError, evaluate_expression, expression_names

# Widths and counts that a config has; the rest of its numbers is about ids, seeds and rates.
_SMALLEST = 2


def fitting_expressions(
    dim: str, size: int, config: Any, known: Iterable[str], sizes: Mapping[str, int] | None = None
) -> list[str]:
    """Return the expressions that give a size on a config, likeliest first.

    Args:
        dim: what the size is called in specs.
        size: what was measured.
        config: the config of the model that was measured.
        known: expressions that bind the dim elsewhere, which come first.
        sizes: other static dims, with their sizes.
    """
    others = {name: value for name, value in (sizes or {}).items() if name != dim and value >= _SMALLEST}
    near = [text for name in others for text in (name, f"{name} + 1", f"{name} + 2")] if _is_count(dim) else []
    texts = dict.fromkeys([*known, *near, *_made(config, dim)])
    return [text for text in texts if value_of(text, config, others) == size]


def _is_count(dim: str) -> bool:
    """Tell whether a dim counts positions, which often are as many as another dim and one or two more."""
    return dim in ("tokens", "image_tokens", "queries")


def value_of(text: str, config: Any, sizes: Mapping[str, int] | None = None) -> int | None:
    """Return what an expression over the config and static dims gives; None where it gives no whole number."""
    try:
        if set(expression_names(text)) - {"config", *(sizes or {})}:
            return None
        value = evaluate_expression(text, config, sizes)
    except ExpressionError:
        return None
    return value if type(value) is int else None


def _made(config: Any, dim: str) -> Iterator[str]:
    """Yield values of a config, then products and quotients of two, those of likely names first."""
    numbers = dict(_numbers(config))
    order = sorted(numbers, key=lambda path: (-_likeness(path, dim), path.count("."), path))
    yield from order
    yield from (f"{path} | last" for path in _lists(config))
    for first, second in permutations([path for path in order if numbers[path] >= _SMALLEST], 2):
        if numbers[first] % numbers[second] == 0 and numbers[first] != numbers[second]:
            yield f"{first} // {second}"
        if first < second:
            yield f"{first} * {second}"
    for path in order:
        yield f"{path} + 1"
        yield f"2 * {path}"


def _numbers(config: Any, prefix: str = "config") -> Iterator[tuple[str, int]]:
    own = set(getattr(type(config), "attribute_map", {}).values())
    for key, value in vars(config).items():
        if key.startswith("_") or key.endswith("_id"):
            continue
        if type(value) is int and value > 0:
            yield f"{prefix}.{key}", value
        elif hasattr(value, "to_dict") and prefix.count(".") < _SMALLEST:
            yield from _numbers(value, f"{prefix}.{key}")
    for name, key in getattr(type(config), "attribute_map", {}).items():
        value = getattr(config, name, None)
        if key in own and type(value) is int and value > 0:
            yield f"{prefix}.{name}", value


def _lists(config: Any) -> Iterator[str]:
    for key, value in vars(config).items():
        if isinstance(value, list | tuple) and value and all(type(item) is int for item in value):
            yield f"config.{key}"


def _likeness(path: str, dim: str) -> int:
    """Return how many parts of a dim's name occur in that of a key: `head_dim` is like `config.attention_head_dim`."""
    key = path.rpartition(".")[2]
    return sum(part.rstrip("s") in key for part in dim.split("_"))


def evaluates(dims: Mapping[str, Any], config: Any) -> bool:
    """Tell whether the config has what static dims read; those over other dims are not looked into."""
    return all(
        value_of(text, config) is not None
        for text in dims.values()
        if isinstance(text, str) and "config." in text and set(_names(text)) == {"config"}
    )


def _names(text: str) -> list[str]:
    try:
        return expression_names(text)
    except ExpressionError:
        return []
