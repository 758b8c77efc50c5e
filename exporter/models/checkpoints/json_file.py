"""Read the JSON files of a checkpoint. What only Python's reader takes is refused: it would stop other runtimes."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError, first_line

# Far above any config or index of shards, and far below what would fill the memory.
_LONGEST = 64 << 20
# A list of nothing takes three bytes of a file, and sixty of memory.
_MOST_VALUES = 4_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_NUMBERS = re.compile(r'(?<![\w".])-?(?:NaN|Infinity)\b(?!")')


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file that must hold a mapping.

    Raises:
        CheckpointError: it cannot be read, is not JSON, or is no mapping.
    """
    data = parse_json(path)
    if not isinstance(data, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object")
    return data


def parse_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        CheckpointError: it cannot be read, is too long, begins with a byte order mark, or is not JSON: ``NaN`` and
            ``Infinity`` are not.
    """
    try:
        size = path.stat().st_size
        if size > _LONGEST:
            raise CheckpointError(
                f"{path.name} has {size:,} bytes, which is too long to be read", help="copy the whole checkpoint again"
            )
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {first_line(error.strerror or error)}") from None
    if content.startswith(_BYTE_ORDER_MARK):
        raise CheckpointError(
            f"{path.name} begins with a byte order mark, which JSON does not have",
            help="save it as UTF-8 without a byte order mark (BOM)",
        )
    if sum(content.count(sign) for sign in (b"[", b"{", b",")) > _MOST_VALUES:
        raise CheckpointError(
            f"{path.name} has more than {_MOST_VALUES:,} values", help="copy the whole checkpoint again"
        )
    try:
        text = content.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except _NotANumberError as error:
        line = next((n for n, line in enumerate(text.splitlines(), 1) if _NOT_NUMBERS.search(line)), None)
        place = f"line {line} of {path.name}" if line is not None else path.name
        raise CheckpointError(
            f"{place} is not JSON: {error} is no number there",
            help='write a number; transformers writes {"__float__": "Infinity"} for an infinite one',
        ) from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {first_line(error)}") from None


def unreadable_elsewhere(path: Path) -> str | None:
    """Return why a JSON file can be read in Python alone, or None where other readers can read it or nobody can.

    A byte order mark, ``NaN`` and ``Infinity`` are no JSON, and Python's reader takes the last two.
    """
    content = path.read_bytes() if path.stat().st_size <= _LONGEST else b""
    if content.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark, which JSON does not have"
    if b"NaN" not in content and b"Infinity" not in content:
        return None
    try:
        json.loads(content, parse_constant=_refuse_constant)
    except _NotANumberError as error:
        return f"holds {error}, which is no number in JSON"
    except (ValueError, RecursionError):
        return None
    return None


class _NotANumberError(Exception):
    """A word or a number that Python's reader takes for a float that JSON cannot have."""


def _refuse_constant(word: str) -> Any:
    raise _NotANumberError(word)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotANumberError(text[:20])
    return number
