"""Write PyTorch weights the way other frameworks do: the smallest writer of each layout, for tests of the readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import msgpack
import numpy as np
import torch
from safetensors.torch import save_file

Weights = Mapping[str, tuple[str, torch.Tensor]]
_BACK = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}
_TF = {
    "kernel": "kernel",
    "embedding": "embeddings",
    "scale": "gamma",
    "shift": "beta",
    "mean": "moving_mean",
    "var": "moving_variance",
}
_FLAX = {"kernel": "kernel", "embedding": "embedding", "scale": "scale", "shift": "bias", "mean": "mean", "var": "var"}


def as_tensorflow(weights: Weights) -> dict[str, torch.Tensor]:
    """Return variables by their scoped names.

    ``weights`` maps PyTorch's name of a weight to its kind and its values.
    """
    return {
        f"tf_model/{_renamed(name, kind, _TF, '/', '_._')}:0": _laid_out(kind, tensor)
        for name, (kind, tensor) in weights.items()
    }


def as_flax(weights: Weights) -> dict[str, torch.Tensor]:
    """Return leaves by their paths, statistics apart from parameters as Flax keeps them."""
    collection = {"mean": "batch_stats", "var": "batch_stats"}
    return {
        f"{collection.get(kind, 'params')}/{_renamed(name, kind, _FLAX, '/', '/')}": _laid_out(kind, tensor)
        for name, (kind, tensor) in weights.items()
    }


def _renamed(name: str, kind: str, words: Mapping[str, str], separator: str, before_number: str) -> str:
    steps = name.split(".")
    steps[-1] = words.get(kind, steps[-1])
    joined = steps[0]
    for step in steps[1:]:
        joined += (before_number if step.isdigit() else separator) + step
    return joined


def _laid_out(kind: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(_BACK[tensor.ndim]).contiguous() if kind == "kernel" and tensor.ndim in _BACK else tensor


def write_hdf5(weights: Weights, directory: Path) -> None:
    with h5py.File(directory / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"main"]
        group = file.create_group("main")
        variables = as_tensorflow(weights)
        group.attrs["weight_names"] = [name.encode() for name in variables]
        for name, tensor in variables.items():
            group[name] = tensor.numpy()


def write_hdf5_shards(weights: Weights, directory: Path) -> None:
    variables = list(as_tensorflow(weights).items())
    places = {}
    for number, part in enumerate((variables[::2], variables[1::2]), 1):
        with h5py.File(directory / f"tf_model-0000{number}-of-00002.h5", "w") as file:
            file.attrs["layer_names"] = [name.encode() for name, _ in part]
            for name, tensor in part:
                file[name.partition("/")[2]] = tensor.numpy()
                places[name] = f"tf_model-0000{number}-of-00002.h5"
    index = {"metadata": {}, "weight_map": places}
    (directory / "tf_model.h5.index.json").write_text(json.dumps(index), "utf-8")


def write_tensorflow_safetensors(weights: Weights, directory: Path) -> None:
    variables = {name.partition("/")[2]: tensor for name, tensor in as_tensorflow(weights).items()}
    save_file(variables, directory / "model.safetensors", {"format": "tf"})


def write_flax_safetensors(weights: Weights, directory: Path) -> None:
    leaves = {name.replace("/", "."): tensor for name, tensor in as_flax(weights).items()}
    save_file(leaves, directory / "model.safetensors", {"format": "flax"})


def write_msgpack(weights: Weights, directory: Path) -> None:
    (directory / "flax_model.msgpack").write_bytes(_packed(as_flax(weights)))


def write_msgpack_shards(weights: Weights, directory: Path) -> None:
    leaves = list(as_flax(weights).items())
    places = {}
    for number, part in enumerate((leaves[::2], leaves[1::2]), 1):
        name = f"flax_model-0000{number}-of-00002.msgpack"
        # A shard names its leaves by whole paths.
        (directory / name).write_bytes(
            msgpack.packb({path: _array(tensor) for path, tensor in part}, strict_types=True)
        )
        places.update(dict.fromkeys((path for path, _ in part), name))
    index = {"metadata": {}, "weight_map": places}
    (directory / "flax_model.msgpack.index.json").write_text(json.dumps(index), "utf-8")


def _packed(leaves: Mapping[str, torch.Tensor]) -> bytes:
    tree: dict[str, object] = {}
    for path, tensor in leaves.items():
        *steps, leaf = path.split("/")
        node = tree
        for step in steps:
            node = node.setdefault(step, {})  # type: ignore[assignment]
        node[leaf] = _array(tensor)
    return bytes(msgpack.packb(tree))


def _array(tensor: torch.Tensor) -> msgpack.ExtType:
    is_half = tensor.dtype is torch.bfloat16
    array = tensor.view(torch.int16).numpy() if is_half else tensor.numpy()
    dtype = "bfloat16" if is_half else array.dtype.name
    return msgpack.ExtType(1, msgpack.packb((tensor.shape, dtype, array.tobytes())))


def write_savedmodel(weights: Weights, directory: Path) -> None:
    """Write the variables of a SavedModel: a data file, and a table of one block with the places in it."""
    folder = directory / "saved_model" / "1" / "variables"
    folder.mkdir(parents=True)
    data, entries, attributes = bytearray(), {}, b""
    for number, (name, tensor) in enumerate(as_tensorflow(weights).items()):
        key = f"variables/{number}/.ATTRIBUTES/VARIABLE_VALUE".encode()
        content = tensor.numpy().tobytes()
        shape = b"".join(_field(2, _number(1, size)) for size in tensor.shape)
        entries[key] = _number(1, 1) + _field(2, shape) + _number(4, len(data)) + _number(5, len(content))
        data += content
        attribute = _field(1, b"VARIABLE_VALUE") + _field(2, name.removesuffix(":0").encode()) + _field(3, key)
        attributes += _field(1, _field(2, attribute))
    text = _varint(len(attributes)) + bytes(4) + attributes
    entries[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = _number(1, 7) + _number(4, len(data)) + _number(5, len(text))
    data += text
    entries[b""] = _number(1, 1)
    (folder / "variables.data-00000-of-00001").write_bytes(data)
    block = _block(sorted(entries.items()))
    handle = _varint(0) + _varint(len(block))
    index = _block([(b"z", handle)])
    start = len(block) + 5
    footer = (_varint(0) + _varint(0) + _varint(start) + _varint(len(index))).ljust(40, b"\0")
    table = block + bytes(5) + index + bytes(5) + footer + (0xDB4775248B80FB57).to_bytes(8, "little")
    (folder / "variables.index").write_bytes(table)


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    out, before = b"", b""
    for key, value in entries:
        shared = len(np.frombuffer(b"", np.uint8))
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    return out + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))
