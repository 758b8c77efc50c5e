"""Check safetensors files before anything maps them.

The format: eight bytes of header length, a JSON header of names, dtypes, shapes and offsets, then the bytes. A file cut
short still maps, and reading past its end kills the process, so the header is held against the file's size first.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError

# Bytes of one value of each dtype, by the dtype's name in a header. None: several values share a byte.
_ITEM_SIZES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("F4", "F6_E2M3", "F6_E3M2"), None),
}
# Far above the header of any model. A list of nothing takes three bytes of a header, and sixty of memory.
_MAX_HEADER, _MAX_VALUES = 64 << 20, 4_000_000
_MAX_RANK, _MAX_SIZE = 64, 1 << 62


def check_safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes in a safetensors file after checking that all of its bytes are there.

    Raises:
        CheckpointError: the file is truncated or not safetensors.
    """
    size = path.stat().st_size
    header, start = _read_header(path, size)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _corrupt(path, "its '__metadata__' is not a mapping of texts")
    shapes: dict[str, tuple[int, ...]] = {}
    places: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        shape, begin, end = _read_entry(path, name, entry)
        if start + end > size:
            raise CheckpointError(
                f"{path.name} is truncated: '{name:.200}' ends at byte {start + end:,}, but the file has {size:,}",
                help="download or copy the file again",
            )
        shapes[name] = shape
        places.append((begin, end, name))
    _check_places(path, places)
    return shapes


def _read_entry(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], int, int]:
    """Return the shape of a tensor, and where its bytes begin and end behind the header."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _corrupt(path, f"the entry of '{name:.200}' is malformed") from None
    numbers = (*shape, begin, end) if isinstance(shape, list) and len(shape) <= _MAX_RANK else (None,)
    if not all(type(number) is int and 0 <= number < _MAX_SIZE for number in numbers) or end < begin:
        raise _corrupt(path, f"the entry of '{name:.200}' is malformed")
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZES:
        raise _corrupt(path, f"'{name:.200}' is of the dtype {dtype!r:.60}, which is not known")
    item_size = _ITEM_SIZES[dtype]
    if item_size is not None and end - begin != math.prod(shape) * item_size:
        expected = math.prod(shape) * item_size
        raise _corrupt(path, f"'{name:.200}' has {end - begin} bytes, but {dtype}{shape} takes {expected}")
    return tuple(shape), begin, end


def _check_places(path: Path, places: list[tuple[int, int, str]]) -> None:
    """Refuse tensors that share bytes: what one of them says would be what another says."""
    before = (0, 0, "")
    for begin, end, name in sorted(places):
        if begin < before[1] and end > begin:
            raise _corrupt(path, f"'{before[2]:.200}' and '{name:.200}' overlap")
        before = max(before, (begin, end, name), key=lambda place: place[1])


def safetensors_framework(path: Path) -> str:
    """Return whose names and layouts a file has: ``pt``, ``tf`` or ``flax``.

    transformers loads any of them without complaint, and leaves the weights of the others random.

    Raises:
        CheckpointError: the file is not safetensors, or was written by something else.
    """
    metadata = _read_header(path, path.stat().st_size)[0].get("__metadata__", {})
    framework = str(metadata.get("format", "pt")) if isinstance(metadata, dict) else "pt"
    if framework in ("tf", "flax"):
        return framework
    if framework not in ("pt", "mlx"):
        raise CheckpointError(
            f"{path.name} was saved by another framework (format: {framework}); "
            "its names and layouts are not PyTorch's",
            help="save the checkpoint with save_pretrained from the PyTorch model",
        )
    return "pt"


def _read_header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """Return the header and the offset at which the bytes of the tensors begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise _corrupt(path, f"its header would have {length:,} bytes and the file has {size:,}")
        text = file.read(length)
        if sum(text.count(sign) for sign in (b"[", b"{", b",")) > _MAX_VALUES:
            raise _corrupt(path, f"its header has more than {_MAX_VALUES:,} values")
        try:
            header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            raise _corrupt(path, "its header is not JSON") from None
        except _RepeatedError as error:
            raise _corrupt(path, f"its header names '{error}' twice") from None
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is not a mapping")
    return header, 8 + length


class _RepeatedError(Exception):
    """A key is given twice. Readers differ in which of the two they take."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedError(
            next(key for index, key in enumerate(keys) if mapping.pop(key, keys) is keys and index)[:200]
        )
    return mapping


def _corrupt(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} is not a readable safetensors file: {reason}", help="download or copy the file again"
    )
