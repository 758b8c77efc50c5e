"""HDF5 files of Keras: read by name, or refused with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import foreign_writers as writers
import h5py
import numpy as np
import pytest
import torch
from commands import REPOSITORY

from exporter.errors import CheckpointError
from exporter.models.checkpoints.hdf5_file import read_hdf5

FIXTURES = REPOSITORY / "tests" / "foreign"
WEIGHTS = {
    "model.dense.weight": ("kernel", torch.arange(6.0).reshape(2, 3)),
    "model.dense.bias": ("shift", torch.ones(2)),
}


def test_a_whole_file_has_scoped_names_and_shards_have_not(tmp_path: Path) -> None:
    writers.write_hdf5(WEIGHTS, tmp_path)
    whole = {weight.name: weight for weight in read_hdf5([tmp_path / "tf_model.h5"])}
    assert {name: weight.scoped for name, weight in whole.items()} == {
        "tf_model/model/dense/kernel:0": True,
        "tf_model/model/dense/beta:0": True,
    }
    assert torch.equal(whole["tf_model/model/dense/kernel:0"].tensor, WEIGHTS["model.dense.weight"][1].T)
    writers.write_hdf5_shards(WEIGHTS, tmp_path)
    shards = sorted(tmp_path.glob("tf_model-*.h5"))
    assert {weight.name: weight.scoped for weight in read_hdf5(shards)} == {
        "model/dense/kernel:0": False,
        "model/dense/beta:0": False,
    }


def test_weights_by_position_are_refused(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "tf/bert__ForQuestionAnswering.savedmodel/keras3.weights.h5", tmp_path / "tf_model.h5")
    with pytest.raises(CheckpointError, match="by position, not by name"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


@pytest.mark.parametrize("length", [0, 8, 500, 1500])
def test_a_file_that_was_cut_is_refused(length: int, tmp_path: Path) -> None:
    writers.write_hdf5(WEIGHTS, tmp_path)
    path = tmp_path / "tf_model.h5"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"tf_model.h5 is not a readable HDF5 file: \w"):
        list(read_hdf5([path]))


def test_a_dataset_that_is_kept_elsewhere_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.zeros(2, np.float32).tobytes())
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"main"]
        file.create_dataset("a", (2,), "f4", external=[(tmp_path / "secret", 0, 8)])
    with pytest.raises(CheckpointError, match=r"'a' of tf_model.h5 is kept in another file"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


def test_text_is_no_weight(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"main"]
        file["a"] = "text"
    with pytest.raises(CheckpointError, match=r"'a' of tf_model.h5 is of the type object"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


@pytest.mark.parametrize("error", [AssertionError(), OSError("\n\n"), RuntimeError("")], ids=repr)
def test_an_error_without_text_is_told_by_its_kind(error: Exception, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> object:
        raise error

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(CheckpointError, match=rf"not a readable HDF5 file: {type(error).__name__}$"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


def _file(path: Path) -> h5py.File:
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = [b"main"]
    file.create_group("main").attrs["weight_names"] = [b"a"]
    return file


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (1 << 40,), "chunks": (1 << 20,)},
        {"shape": (1 << 20, 1 << 20), "chunks": (1, 1 << 20), "fillvalue": 1.0},
        {"shape": (1 << 28,), "chunks": (1 << 20,), "compression": "gzip"},
        {"shape": (4,), "chunks": (1 << 25,), "maxshape": (None,)},
        {"shape": (1 << 40,)},
    ],
    ids=["chunks that are not there", "a value for all", "compressed", "a chunk larger than all", "no bytes"],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with _file(tmp_path / "tf_model.h5") as file:
        file["main"].create_dataset("a", dtype="f4", **options)
    assert (tmp_path / "tf_model.h5").stat().st_size < 1_000_000
    with pytest.raises(CheckpointError, match=r"'a' of tf_model.h5 has the shape .*, which is more than the bytes of"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


def test_many_datasets_are_held_against_the_file_together(tmp_path: Path) -> None:
    with _file(tmp_path / "tf_model.h5") as file:
        for number in range(40):
            file["main"].create_dataset(f"a{number}", (1 << 18,), "f4", chunks=(1 << 18,))
    with pytest.raises(CheckpointError, match="more than the bytes of the file can be"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))


def test_small_weights_that_are_alike_may_be_compressed(tmp_path: Path) -> None:
    with _file(tmp_path / "tf_model.h5") as file:
        file["main"].create_dataset("a", data=np.zeros((512, 512), np.float32), compression="gzip")
    (weight,) = read_hdf5([tmp_path / "tf_model.h5"])
    assert weight.tensor.shape == (512, 512)


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/main"), h5py.SoftLink("/main"), h5py.SoftLink("/a")])
def test_a_link_is_not_followed(link: Any, tmp_path: Path) -> None:
    with _file(tmp_path / "other.h5") as file:
        file["main"]["a"] = np.zeros(3, np.float32)
    with _file(tmp_path / "tf_model.h5") as file:
        file["a"] = link
    with pytest.raises(CheckpointError, match=r"'a' of tf_model.h5 is a link, which is never followed"):
        list(read_hdf5([tmp_path / "tf_model.h5"]))
