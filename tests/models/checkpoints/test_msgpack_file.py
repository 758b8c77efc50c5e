"""Files of Flax: every leaf by its path, and bytes that say something else refused."""

from __future__ import annotations

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
