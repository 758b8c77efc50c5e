"""Read ``flax_model.msgpack``: the parameters Flax wrote, without JAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch

from exporter.errors import CheckpointError, first_line
from exporter.models.arrays import to_torch
from exporter.models.checkpoints.foreign import ForeignTensor
from exporter.versions import install_command

# Flax's extension types: an array, a complex number, a numpy scalar.
_ARRAY, _SCALAR = 1, 3
# Names, arrays and mappings of a file, and axes of an array. A model has some thousand weights.
_MAX_OBJECTS, _MAX_RANK = 1_000_000, 64
_CHUNKED = "__msgpack_chunked_array__"


class _Damaged(Exception):
    """The bytes do not say what Flax says in them."""


def read_msgpack(files: Sequence[Path]) -> Iterator[ForeignTensor]:
    """Yield the leaves of whole or sharded files.

    Raises:
        CheckpointError: msgpack is not installed, or a file is damaged or holds something else.
    """
    try:
        import msgpack
    except ImportError:
        raise CheckpointError(
            f"reading {files[0].name} needs msgpack, which is not installed", help=install_command("flax")
        ) from None
    for path in files:
        try:
            tree = _unpack(path.read_bytes(), msgpack.unpackb)
            leaves = list(_leaves((), tree))
        except Exception as error:  # msgpack, numpy and torch each have their own for bytes that make no sense
            raise CheckpointError(
                f"{path.name} is not a readable Flax file: {first_line(error)}", help="download or copy the file again"
            ) from error
        for steps, tensor in leaves:
            yield ForeignTensor("flax", "/".join(steps), tensor)


def _unpack(data: bytes, unpackb: Callable[..., Any]) -> Any:
    """Return the tree in the bytes of a file, in which a byte may be an object of sixty: they are counted."""
    left = _MAX_OBJECTS

    def count(items: list[Any]) -> list[Any]:
        nonlocal left
        left -= 1 + len(items)
        if left < 0:
            raise _Damaged(f"it holds more than {_MAX_OBJECTS:,} objects")
        return items

    def as_mapping(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        mapping = dict(count(pairs))
        if len(mapping) != len(pairs):
            raise _Damaged("a name is given twice")
        return mapping

    return unpackb(
        data,
        raw=False,
        strict_map_key=False,
        ext_hook=_decode,
        list_hook=count,
        object_pairs_hook=as_mapping,
        max_array_len=_MAX_RANK,
        max_map_len=_MAX_OBJECTS,
    )


def _decode(code: int, data: bytes) -> torch.Tensor:
    import msgpack

    if code not in (_ARRAY, _SCALAR):
        raise _Damaged(f"it holds the extension type {code}, which is no weight's")
    shape, dtype, content = msgpack.unpackb(data, raw=False, max_array_len=_MAX_RANK, max_map_len=0)
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise _Damaged("an array has no shape")
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else str(dtype))
    if kind.kind not in "fiub" and kind != np.dtype(ml_dtypes.bfloat16):
        raise _Damaged(f"it holds an array of {dtype!s:.60}, which is no weight's")
    if not isinstance(content, bytes):
        raise _Damaged("an array has no bytes")
    if len(content) != math.prod(shape) * kind.itemsize:
        raise _Damaged(f"an array of {dtype}{shape} has {len(content)} bytes")
    # The bytes belong to the decoder, and a tensor may be written to.
    return to_torch(np.frombuffer(bytearray(content), dtype=kind).reshape(shape))


def _leaves(steps: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    if isinstance(node, torch.Tensor):
        yield steps, node
    elif isinstance(node, Mapping) and node.get(_CHUNKED):
        chunks = node["chunks"]
        shape = (
            [node["shape"][key] for key in sorted(node["shape"], key=int)]
            if isinstance(node["shape"], Mapping)
            else node["shape"]
        )
        yield steps, torch.cat([chunks[key].reshape(-1) for key in sorted(chunks, key=int)]).reshape(shape)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves((*steps, str(key)), value)
    elif node is not None:
        raise _Damaged(f"'{'/'.join(steps)}' is {type(node).__name__}, not an array")
