"""What an expression may compute: each operator, filter and test, with a bound on what it takes and gives.

Twenty characters of a stranger's spec must not take gigabytes: nothing here makes much out of little.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from exporter.language.effort import spend

# A size is far below this, and arithmetic on whole numbers of 64 bits takes one step whatever their digits are.
MAX_NUMBER = 2**63 - 1
# Of a list that is searched, compared or added up, and of a text that is compared. An architecture has fewer layers.
MAX_ITEMS = 1024
_MAX_EXPONENT = 64


class RefusedError(Exception):
    """What an expression asks for is not in the language, or goes beyond a bound."""

    def __init__(self, message: str, culprit: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.culprit, self.help = message, culprit, help


@dataclass(frozen=True, slots=True)
class Missing:
    """What the config does not have: `is defined` may ask about it, and anything else is an error."""

    name: str


# Values


def is_number(value: Any) -> bool:
    """Tell whether a value can be computed with; true and false can, as 1 and 0."""
    return isinstance(value, int | float)


def number(value: Any, taker: str) -> Any:
    """Return a value that is a number within the bounds."""
    if not is_number(value):
        raise RefusedError(f"{taker} takes numbers, not {kind_of(value)}")
    return bounded(value)


def bounded(value: Any) -> Any:
    """Return a value, refusing a number that is no size of anything."""
    if isinstance(value, int) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise RefusedError(f"a number is beyond {MAX_NUMBER:,}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError("a number is not finite")
    return value


def _listed(value: Any, taker: str) -> list[Any] | tuple[Any, ...]:
    """Return a value that is a list of at most `MAX_ITEMS`."""
    if not isinstance(value, list | tuple):
        raise RefusedError(f"{taker} takes a list, not {kind_of(value)}")
    if len(value) > MAX_ITEMS:
        raise RefusedError(f"{taker} takes a list of at most {MAX_ITEMS:,}, not of {len(value):,}")
    spend(len(value))
    return value


def _numbers(value: Any, taker: str) -> list[Any]:
    return [number(item, taker) for item in _listed(value, taker)]


def _comparable(value: Any, taker: str = "a comparison") -> Any:
    """Return a value that is compared in few steps: one that is no collection, or a short list of those."""
    if isinstance(value, Missing):
        refuse_missing(value)
    if isinstance(value, str) and len(value) > MAX_ITEMS:
        raise RefusedError(f"{taker} takes text of at most {MAX_ITEMS:,} characters, not of {len(value):,}")
    if isinstance(value, list | tuple):
        for item in _listed(value, taker):
            if isinstance(item, list | tuple | Mapping) or (isinstance(item, str) and len(item) > MAX_ITEMS):
                raise RefusedError(f"{taker} takes a list of numbers and short texts")
    elif isinstance(value, Mapping):
        raise RefusedError(f"{taker} takes no mapping")
    return value


def kind_of(value: Any) -> str:
    """Return what a value is, as a message says it: ``text``, ``a list``."""
    if isinstance(value, Missing):
        refuse_missing(value)
    names = {str: "text", list: "a list", tuple: "a list", dict: "a mapping", type(None): "nothing"}
    return names.get(type(value), "a config")


def refuse_missing(value: Missing) -> NoReturn:
    """Refuse a value that the config does not have.

    Raises:
        RefusedError: always.
    """
    raise RefusedError(f"the config has no '{value.name}'", f".{value.name}")


# Operators


def _power(base: Any, exponent: Any) -> Any:
    if not isinstance(base, int) or not isinstance(exponent, int) or not 0 <= exponent <= _MAX_EXPONENT:
        raise RefusedError(f"'**' takes whole numbers, and exponents of 0 to {_MAX_EXPONENT}", "**")
    return base**exponent


# Operators by the names of Jinja's nodes: how each is written, and what it computes.
BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "Add": ("+", operator.add),
    "Sub": ("-", operator.sub),
    "Mul": ("*", operator.mul),
    "Div": ("/", operator.truediv),
    "FloorDiv": ("//", operator.floordiv),
    "Mod": ("%", operator.mod),
    "Pow": ("**", _power),
}
UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Neg": ("-", operator.neg),
    "Pos": ("+", operator.pos),
}
_EQUALITY: dict[str, Callable[[Any, Any], bool]] = {"eq": operator.eq, "ne": operator.ne}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def compare(kind: str, left: Any, right: Any) -> bool:
    """Compare two values by the name of Jinja's operator: ``eq``, ``lteq``, ``notin``."""
    if kind in _ORDER:
        return _ORDER[kind](number(left, "an order"), number(right, "an order"))
    if kind in _EQUALITY:
        return bool(_EQUALITY[kind](_comparable(left), _comparable(right)))
    # `in` and `not in`: a key of a mapping, an item of a list, a part of a text.
    _comparable(left, "'in'")
    if isinstance(right, Mapping):
        return (isinstance(left, str | int) and left in right) is (kind == "in")
    if not isinstance(_comparable(right, "'in'"), list | tuple | str) or (
        isinstance(right, str) and not isinstance(left, str)
    ):
        raise RefusedError(f"'in' takes a list, a mapping or texts, not {kind_of(right)}")
    return (left in right) is (kind == "in")


# Filters and tests


def _product(sizes: Any) -> int:
    """Return the product of a list of sizes, such as the strides of consecutive layers."""
    if (
        not isinstance(sizes, list | tuple)
        or len(sizes) > _MAX_EXPONENT
        or not all(type(size) is int for size in sizes)
    ):
        raise ValueError(f"a product is of at most {_MAX_EXPONENT} whole numbers")
    return math.prod(bounded(size) for size in sizes)


def convolved_length(length: int, kernels: Any, strides: Any, padding: int = 0, times: int = 1) -> int:
    """Return what windows that slide over an axis leave of its length.

    In a spec: ``audio | convolved(config.conv_kernel, config.conv_stride)``.

    Args:
        length: the length of the axis.
        kernels: the length of a window, or of the windows of several layers one after another.
        strides: how far a window moves, likewise.
        padding: what each layer adds to both ends beforehand.
        times: how often the layers are repeated; 0 leaves the length as it is.

    Raises:
        ValueError: a size is no whole number, the layers do not pair up or are too many, or nothing is left.
    """
    listed = [sizes if isinstance(sizes, list | tuple) else [sizes] for sizes in (kernels, strides)]
    if len(listed[0]) != len(listed[1]) or len(listed[0]) > _MAX_EXPONENT:
        counts = f"{len(listed[0])} kernels and {len(listed[1])} strides"
        raise ValueError(f"{counts}: there are as many of each, at most {_MAX_EXPONENT}")
    if not all(type(size) is int for size in (length, padding, times, *listed[0], *listed[1])):
        raise ValueError("lengths, kernels, strides, padding and times are whole numbers")
    if not 0 <= times <= _MAX_EXPONENT or min(listed[1], default=1) < 1:
        raise ValueError(f"strides start at 1, and layers repeat at most {_MAX_EXPONENT} times")
    spend(times * len(listed[0]))
    for _ in range(times):
        for kernel, stride in zip(*listed, strict=True):
            length = (length + 2 * padding - kernel) // stride + 1
            if length < 1:
                raise ValueError("nothing is left of the axis")
    return length


def _end(index: int, name: str) -> Callable[[Any], Any]:
    def end(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value:
            raise RefusedError(
                f"'{name}' takes a list of at least one, not {kind_of(value) if value != [] else 'none'}"
            )
        return value[index]

    return end


def _length(value: Any) -> int:
    if not isinstance(value, list | tuple | str | Mapping):
        raise RefusedError(f"'length' takes a list, a mapping or text, not {kind_of(value)}")
    return len(value)


def _extreme(choose: Callable[[list[Any]], Any], name: str) -> Callable[[Any], Any]:
    def extreme(value: Any) -> Any:
        return choose(_numbers(value, f"'{name}'"))

    return extreme


# What a filter is given besides the value before the bar, and what it computes.
FILTERS: dict[str, Callable[..., Any]] = {
    "int": lambda value: int(number(value, "'int'")),
    "abs": lambda value: abs(number(value, "'abs'")),
    "first": _end(0, "first"),
    "last": _end(-1, "last"),
    "length": _length,
    "max": _extreme(max, "max"),
    "min": _extreme(min, "min"),
    "sum": _extreme(sum, "sum"),
    "product": _product,
    "convolved": convolved_length,
}
TESTS: dict[str, Callable[[Any], bool]] = {
    "none": lambda value: value is None,
    "iterable": lambda value: isinstance(value, list | tuple | str | Mapping),
    "sequence": lambda value: isinstance(value, list | tuple | str | Mapping),
    "mapping": lambda value: isinstance(value, Mapping),
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, float),
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
}
