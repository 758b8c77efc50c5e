"""Files of Flax: every leaf by its path, and bytes that say something else refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import foreign_writers as writers
import msgpack
import numpy as np
import pytest
import torch

from exporter.errors import CheckpointError
from exporter.models.checkpoints.msgpack_file import read_msgpack

WEIGHTS = {"dense.weight": ("kernel", torch.arange(6.0).reshape(2, 3)), "norm.running_mean": ("mean", torch.ones(2))}


def write_tree(folder: Path, tree: Any) -> Path:
    path = folder / "flax_model.msgpack"
    path.write_bytes(msgpack.packb(tree))
    return path


def array(values: list[float], shape: tuple[int, ...] | None = None, dtype: str = "float32") -> msgpack.ExtType:
    content = np.array(values, np.float32).tobytes()
    return msgpack.ExtType(1, msgpack.packb((shape or (len(values),), dtype, content)))


def test_leaves_are_named_by_their_paths(tmp_path: Path) -> None:
    writers.write_msgpack(WEIGHTS, tmp_path)
    weights = {weight.name: weight.tensor for weight in read_msgpack([tmp_path / "flax_model.msgpack"])}
    assert torch.equal(weights["params/dense/kernel"], WEIGHTS["dense.weight"][1].T)
    assert torch.equal(weights["batch_stats/norm/mean"], torch.ones(2))


def test_an_array_in_chunks_is_put_together(tmp_path: Path) -> None:
    chunks = {str(number): array([float(number)]) for number in range(12)}
    tree = {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 3, "1": 4}, "chunks": chunks}}
    (weight,) = read_msgpack([write_tree(tmp_path, tree)])
    assert torch.equal(weight.tensor, torch.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"a": 1}, "'a' is int, not an array"),
        ({"a": array([1.0], (7,))}, r"an array of float32\[7\] has 4 bytes"),
        ({"a": array([1.0], dtype="object")}, "an array of object"),
        ({"a": array([1.0], dtype="no such dtype")}, "no such dtype"),
        ({"a": msgpack.ExtType(2, b"")}, "the extension type 2"),
        ({"a": msgpack.ExtType(1, b"")}, r"\w+"),
        ({"a": {"__msgpack_chunked_array__": True}}, "chunks"),
        ({"a": {"__msgpack_chunked_array__": True, "shape": [3], "chunks": {"0": array([1.0])}}}, "shape"),
    ],
)
def test_what_is_no_array_is_refused(tree: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"flax_model.msgpack is not a readable Flax file: .*{reason}"):
        list(read_msgpack([write_tree(tmp_path, tree)]))


def test_every_length_but_the_whole_one_is_refused(tmp_path: Path) -> None:
    path = write_tree(tmp_path, {"params": {"a": array([1.0, 2.0]), "b": array([3.0])}})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"not a readable Flax file: \w"):
            list(read_msgpack([path]))


@pytest.mark.parametrize("error", [AssertionError(), ValueError("\n\n")], ids=repr)
def test_an_error_without_text_is_told_by_its_kind(error: Exception, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise error

    path = write_tree(tmp_path, {})
    monkeypatch.setattr(msgpack, "unpackb", refuse)
    with pytest.raises(CheckpointError, match=rf"not a readable Flax file: {type(error).__name__}$"):
        list(read_msgpack([path]))


# What the bytes of msgpack say of a length: so many items follow. 0xdd and 0xdf are lists and mappings of 32 bits.
BOMBS = {
    "a list that is not there": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "a mapping that is not there": b"\xdf\xff\xff\xff\xff",
    "bytes that are not there": b"\x81\xa1a\xc6\xff\xff\xff\xff",
    "an array that is not there": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    "many empty mappings": b"\x81\xa1a" + b"\x9f" * 1000 + b"\x80" * 1_000_000,
    "lists in lists": b"\x81\xa1a" + b"\x91" * 1_000_000,
    "long lists of nothing": b"\x81\xa1a\xdd\x00\x0f\x42\x40" + b"\xc0" * 1_000_000,
    "mappings of many names": b"\xdf\x00\x05\x00\x00"
    + b"".join(b"\xce" + number.to_bytes(4, "big") + b"\x80" for number in range(0x50000))
    + b"\xdf\x00\x10\x00\x00",
    "a name twice": b"\x82\xa1a\x80\xa1a\x80",
    "an array of mappings": b"\x81\xa1a\xc7\x03\x01\x93\x80\x80",
    "an array of a type with parts": msgpack.packb({"a": array([1.0], (1,), dtype="(2,)f2")}),
    "an array of texts": msgpack.packb({"a": array([1.0], (1,), dtype="U1")}),
    "an array of a negative shape": msgpack.packb({"a": array([1.0], (-1, -1))}),
    "an array of a broken shape": msgpack.packb({"a": array([1.0], (1.0,))}),
    "a shape of many axes": msgpack.packb({"a": array([1.0], (1,) * 100)}),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_a_length_that_a_file_says_is_not_believed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"flax_model.msgpack is not a readable Flax file: "):
            list(read_msgpack([tmp_path / "flax_model.msgpack"]))
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
