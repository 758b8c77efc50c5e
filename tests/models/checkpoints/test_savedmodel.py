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
