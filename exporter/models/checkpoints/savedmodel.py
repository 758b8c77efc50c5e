"""Read the variables of a TensorFlow SavedModel, without TensorFlow.

``variables/variables.index`` is a sorted table (the format of LevelDB) from checkpoint keys to places in the data
files, each entry a protobuf. Keys name attributes of Python objects; the variables' own names are in one more entry,
the graph of those objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from exporter.errors import CheckpointError, first_line
from exporter.models.arrays import to_torch
from exporter.models.checkpoints.foreign import ForeignTensor

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
# Bytes of an index and of a key in it, and how many entries it has. A model has some thousand, of two hundred bytes.
_MAX_INDEX, _MAX_KEY, _MAX_ENTRIES = 32 << 20, 1_000, 100_000
_OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
# Values of TensorFlow's DataType that weights have.
_DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    6: np.dtype(np.int8),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    19: np.dtype(np.float16),
}


class _Damaged(Exception):
    """The bytes are not those of a table or a message."""


def read_savedmodel(index: Path) -> Iterator[ForeignTensor]:
    """Yield the model's variables, one in memory at a time.

    Args:
        index: ``variables/variables.index``; its data files are beside it.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    try:
        if index.stat().st_size > _MAX_INDEX:
            raise _Damaged(f"it has {index.stat().st_size:,} bytes, and no model's has more than {_MAX_INDEX:,}")
        entries = {key: _entry(value) for key, value in _table(index.read_bytes()) if key}
        _check_places(index, entries)
        if _OBJECT_GRAPH not in entries:
            raise _Damaged("it has no graph of objects, so nothing names its variables")
        graph = _string(_bytes_of(index, entries[_OBJECT_GRAPH]))
        names = dict(_variable_names(graph))
        for key, entry in sorted(entries.items()):
            if key in names and entry.get("dtype") in _DTYPES:
                dtype = _DTYPES[entry["dtype"]]
                data = bytearray(_bytes_of(index, entry))
                yield ForeignTensor(
                    "tf", names[key], to_torch(np.frombuffer(data, dtype).reshape(entry["shape"])), scoped=True
                )
    except OSError as error:
        file = error.filename or index.name
        raise CheckpointError(f"{file} cannot be read: {first_line(error.strerror or error)}") from None
    except Exception as error:  # damaged bytes may end up as any number, length or place
        raise CheckpointError(
            f"{index.name} is not the index of a SavedModel's variables: {first_line(error)}",
            help="copy the whole SavedModel again",
        ) from error


def _shards(index: Path) -> list[Path]:
    return sorted(index.parent.glob(f"{index.stem}.data-*-of-*"))


def _check_places(index: Path, entries: Mapping[bytes, Mapping[str, Any]]) -> None:
    """Hold the places of all entries against the data files before anything is read from them."""
    sizes = [shard.stat().st_size for shard in _shards(index)]
    whole = 0
    for entry in entries.values():
        shard, offset, size = (int(entry.get(key, 0)) for key in ("shard", "offset", "size"))
        if shard >= len(sizes):
            raise _Damaged(f"its data file {shard} is missing")
        if offset + size > sizes[shard]:
            raise _Damaged(f"its data file {shard} is truncated")
        whole += size
    if whole > sum(sizes):
        raise _Damaged("its entries share bytes of the data files")


def _bytes_of(index: Path, entry: Mapping[str, Any]) -> bytes:
    shard, offset, size = (int(entry.get(key, 0)) for key in ("shard", "offset", "size"))
    path = _shards(index)[shard]
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise _Damaged(f"{path.name} is truncated")
    return data


# The table


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table: its index block points to blocks of entries."""
    if len(data) < _FOOTER or data[-8:] != _MAGIC:
        raise _Damaged("it does not end like a table")
    at = len(data) - _FOOTER
    for _ in range(2):  # the place of the block of filters, which is not needed
        _, at = _varint(data, at)
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    entries, room = 0, len(data)
    for _, handle in _block(data, offset, size):
        start, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        room -= length
        if room < 0:
            raise _Damaged("its blocks overlap")
        for entry in _block(data, start, length):
            entries += 1
            if entries > _MAX_ENTRIES:
                raise _Damaged(f"it has more than {_MAX_ENTRIES:,} entries")
            yield entry


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block, each of which repeats the beginning of the key before it by length."""
    if offset + size + 5 > len(data):
        raise _Damaged("a block ends beyond the file")
    if data[offset + size] != 0:
        raise _Damaged("its blocks are compressed")
    block = data[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        more, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or shared + more > _MAX_KEY or at + more + length > end:
            raise _Damaged("an entry ends beyond its block")
        key = key[:shared] + block[at : at + more]
        yield key, block[at + more : at + more + length]
        at += more + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise _Damaged("a number does not end")


# The messages


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and values of a protobuf message's fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == 0:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        length, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
        if length < 0 or at + length > len(message):
            raise _Damaged("a message is cut short")
        yield tag >> 3, message[at : at + length]
        at += length


def _entry(message: bytes) -> dict[str, Any]:
    """Read a BundleEntryProto: dtype, shape, and the place of the bytes."""
    entry: dict[str, Any] = {"shape": ()}
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            entry["shape"] = tuple(
                next((size for inner, size in _fields(dim) if inner == 1), 0)
                for field, dim in _fields(value)
                if field == 2 and isinstance(dim, bytes)
            )
        elif number in (1, 3, 4, 5):
            entry[{1: "dtype", 3: "shard", 4: "offset", 5: "size"}[number]] = value
    return entry


def _string(data: bytes) -> bytes:
    """Return the one string of a string tensor: its length, a checksum of that, and the bytes."""
    length, at = _varint(data, 0)
    return data[at + 4 : at + 4 + length]


def _variable_names(graph: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield the checkpoint key and the full name of every variable in a TrackableObjectGraph."""
    for number, node in _fields(graph):
        if number != 1 or not isinstance(node, bytes):
            continue
        for inner, attribute in _fields(node):
            if inner != 2 or not isinstance(attribute, bytes):
                continue
            parts = {field: value for field, value in _fields(attribute) if isinstance(value, bytes)}
            if parts.get(2) and parts.get(3):
                yield parts[3], parts[2].decode()
