"""Variables of a SavedModel: read from its table, and a table with any byte changed read or refused, never a crash."""

from __future__ import annotations

from pathlib import Path

import foreign_writers as writers
import pytest
import torch

from exporter.errors import CheckpointError
from exporter.models.checkpoints.savedmodel import read_savedmodel

WEIGHTS = {
    "model.dense.weight": ("kernel", torch.arange(6.0).reshape(2, 3)),
    "model.dense.bias": ("shift", torch.ones(2)),
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    writers.write_savedmodel(WEIGHTS, tmp_path)
    return tmp_path / "saved_model" / "1" / "variables" / "variables.index"


def test_variables_have_their_own_names(index: Path) -> None:
    weights = {weight.name: weight.tensor for weight in read_savedmodel(index)}
    assert weights.keys() == {"tf_model/model/dense/kernel", "tf_model/model/dense/beta"}
    assert torch.equal(weights["tf_model/model/dense/kernel"], WEIGHTS["model.dense.weight"][1].T)


def test_any_byte_may_be_wrong(index: Path) -> None:
    content = index.read_bytes()
    refused = 0
    for place in range(len(content)):
        for value in (0, 127, 255):
            index.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                list(read_savedmodel(index))
            except CheckpointError as error:
                refused += 1
                assert not error.message.endswith(": ")
    assert refused > len(content) // 4


def test_what_is_missing_is_told(index: Path) -> None:
    data = next(index.parent.glob("variables.data-*"))
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is truncated"):
        list(read_savedmodel(index))
    data.unlink()
    with pytest.raises(CheckpointError, match="its data file 0 is missing"):
        list(read_savedmodel(index))
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="does not end like a table"):
        list(read_savedmodel(index))
    index.unlink()
    with pytest.raises(CheckpointError, match=r"variables.index cannot be read: No such file"):
        list(read_savedmodel(index))


@pytest.mark.parametrize("error", [AssertionError(), ValueError("\n\n"), OSError()], ids=repr)
def test_an_error_without_text_is_told_by_its_kind(error: Exception, index: Path, monkeypatch) -> None:
    def refuse(_: object) -> object:
        raise error

    monkeypatch.setattr("exporter.models.checkpoints.savedmodel.to_torch", refuse)
    with pytest.raises(CheckpointError, match=rf"variables.index .*: {type(error).__name__}$"):
        list(read_savedmodel(index))


def table(entries: list[tuple[bytes, bytes]], times: int = 1) -> bytes:
    """Return a table of one block of entries, which the index points at, as often as it likes."""
    block = writers._block(entries)
    handle = writers._varint(0) + writers._varint(len(block))
    pointers = [(f"{at:06}".encode(), handle) for at in range(times)]
    index = writers._block(pointers)
    footer = (writers._varint(0) * 2 + writers._varint(len(block) + 5) + writers._varint(len(index))).ljust(40, b"\0")
    return block + bytes(5) + index + bytes(5) + footer + (0xDB4775248B80FB57).to_bytes(8, "little")


def place(offset: int, size: int, shard: int = 0) -> bytes:
    numbers = ((1, 1), (3, shard), (4, offset), (5, size))
    return b"".join(writers._number(number, value) for number, value in numbers)


BOMBS = {
    "a tensor larger than the file": (table([(b"a", place(0, 1 << 40))]), "its data file 0 is truncated"),
    "a tensor far behind the file": (table([(b"a", place(1 << 60, 4))]), "its data file 0 is truncated"),
    "a file that is not there": (table([(b"a", place(0, 4, shard=1 << 40))]), "its data file 1099511627776 is missing"),
    "tensors of the same bytes": (
        table([(f"{at:06}".encode(), place(0, 40)) for at in range(1000)]),
        "its entries share bytes of the data files",
    ),
    "one block many times": (
        table([(f"{at:06}".encode(), b"") for at in range(1000)], times=50),
        "its blocks overlap",
    ),
    "many entries": (table([(b"%x" % at, b"") for at in range(100_001)]), "it has more than 100,000 entries"),
    "a long key": (table([(b"a" * 2000, b"")]), "an entry ends beyond its block"),
    "a shape that is not of the bytes": (
        table([(b"a", place(0, 4) + writers._field(2, writers._field(2, writers._number(1, 1 << 40))))]),
        "it has no graph of objects",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BOMBS.values(), ids=BOMBS)
def test_a_place_that_an_index_says_is_not_believed(content: bytes, reason: str, index: Path) -> None:
    index.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"variables.index is not the index of .*: {reason}"):
        list(read_savedmodel(index))


def test_a_key_repeated_by_length_does_not_grow(index: Path) -> None:
    block = writers._varint(0) + writers._varint(900) + writers._varint(0) + b"k" * 900
    block += (writers._varint(900) + writers._varint(1) + writers._varint(0) + b"x") * 200_000
    block += (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    pointers = writers._block([(b"z", writers._varint(0) + writers._varint(len(block)))])
    footer = (writers._varint(0) * 2 + writers._varint(len(block) + 5) + writers._varint(len(pointers))).ljust(
        40, b"\0"
    )
    index.write_bytes(block + bytes(5) + pointers + bytes(5) + footer + (0xDB4775248B80FB57).to_bytes(8, "little"))
    with pytest.raises(CheckpointError, match=r"more than 100,000 entries|ends beyond"):
        list(read_savedmodel(index))


def test_an_index_of_absurd_size_is_not_read(index: Path) -> None:
    with index.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="no model's has more than"):
        list(read_savedmodel(index))
