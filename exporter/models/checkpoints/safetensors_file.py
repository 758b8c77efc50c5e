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

# Bytes of one value of each dtype, by the dtype's name in a header.
_ITEM_SIZES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}
_MAX_HEADER = 100_000_000


def check_safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes in a safetensors file after checking that all of its bytes are there.

    Raises:
        CheckpointError: the file is truncated or not safetensors.
    """
    size = path.stat().st_size
    header, start = _read_header(path, size)
    header.pop("__metadata__", {})
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = str(entry["dtype"]), tuple(entry["shape"]), entry["data_offsets"]
        except (TypeError, KeyError, ValueError):
            raise _corrupt(path, f"the entry of '{name}' is malformed") from None
        if not all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end)) or end < begin:
            raise _corrupt(path, f"the entry of '{name}' is malformed")
        expected = math.prod(shape) * _ITEM_SIZES.get(dtype, 0)
        if expected and end - begin != expected:
            raise _corrupt(path, f"'{name}' has {end - begin} bytes, but {dtype}{list(shape)} takes {expected}")
        if start + end > size:
            raise CheckpointError(
                f"{path.name} is truncated: '{name}' ends at byte {start + end:,}, but the file has {size:,}",
                help="download or copy the file again",
            )
        shapes[name] = shape
    return shapes


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
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise _corrupt(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is not a mapping")
    return header, 8 + length


def _corrupt(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} is not a readable safetensors file: {reason}", help="download or copy the file again"
    )
