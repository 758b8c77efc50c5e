"""Values as JSON-serialisable data and back, by their own fields: what crosses a process, and what a manifest keeps.

A dataclass says by its annotations what each of its fields holds, so no class needs a reader or a writer of its own.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def to_data(value: Any) -> Any:
    """Return a value as data: dataclasses as mappings of their fields, tuples as lists, paths as texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_data(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def from_data(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return the dataclass that `to_data` was given.

    Args:
        kind: the dataclass.
        data: a mapping with every field of it, and no other key.

    Raises:
        KeyError: a field is missing.
        TypeError: a value is not what its field holds, or there is no such field.
        ValueError: a word is none of an enumeration's.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{kind.__name__} is made of a mapping, not of {data!r:.80}")
    hints = _field_types(typing.cast("Any", kind))
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {', '.join(unknown)}")
    return kind(**{name: _read(hint, data[name], f"{kind.__name__}.{name}") for name, hint in hints.items()})


@lru_cache(maxsize=64)
def _field_types(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(hint: Any, value: Any, where: str) -> Any:
    """Return what a field holds, read by its annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{where} is a list, not {value!r:.80}")
        return tuple(_read(arguments[0], item, where) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where} is a mapping, not {value!r:.80}")
        return {key: _read(arguments[1], item, where) for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_data(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if isinstance(hint, type) and issubclass(hint, Path | str) and isinstance(value, str):
        return hint(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(hint, type) or not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"{where} cannot be {value!r:.80}")
    return value


def _read_union(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    for hint in hints:
        try:
            return _read(hint, value, where)
        except (TypeError, ValueError, KeyError):
            continue
    raise TypeError(f"{where} cannot be {value!r:.80}")
