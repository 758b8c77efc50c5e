"""Read ``tf_model.h5``: the variables Keras 2 wrote, by name, without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.errors import CheckpointError, ExporterError, first_line
from exporter.models.checkpoints.foreign import ForeignTensor
from exporter.versions import install_command

# How many times its bytes a file may hold, since small weights that are all alike compress well, and bytes beyond that.
_EXPANSION, _SLACK = 8, 16 << 20


def read_hdf5(files: Sequence[Path]) -> Iterator[ForeignTensor]:
    """Yield the variables of whole or sharded HDF5 files, one in memory at a time.

    Raises:
        CheckpointError: h5py is not installed, or a file is damaged or was not written by Keras 2.
    """
    try:
        import h5py
    except ImportError:
        raise CheckpointError(
            f"reading {files[0].name} needs h5py, which is not installed", help=install_command("tf")
        ) from None
    for path in files:
        try:
            with h5py.File(path, "r") as file:
                yield from _read(file, path, h5py)
        except ExporterError:
            raise
        except Exception as error:  # h5py has a different one for each way in which a file is damaged
            raise CheckpointError(
                f"{path.name} is not a readable HDF5 file: {first_line(error)}",
                help="download or copy the file again",
            ) from error


def _read(file: Any, path: Path, h5py: Any) -> Iterator[ForeignTensor]:
    if "layer_names" not in file.attrs:
        raise CheckpointError(
            f"{path.name} stores weights by position, not by name (a Keras 3 file), so nothing says which is which",
            help="save the model with save_pretrained from transformers 4 and Keras 2, or use its PyTorch weights",
        )
    datasets: list[tuple[str, Any]] = []

    def note(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            datasets.append((name, entry))

    # A whole file has a group for each layer, around the variables' own names; a shard has the names alone.
    groups = list(_groups(file, path, h5py))
    scoped = any("weight_names" in group.attrs for group in groups)
    for group in groups if scoped else [file]:
        group.visititems(note)
    _check_sizes(datasets, path)
    for name, dataset in datasets:
        yield ForeignTensor("tf", name, torch.from_numpy(np.ascontiguousarray(dataset[()])), scoped)


def _groups(file: Any, path: Path, h5py: Any) -> Iterator[Any]:
    """Yield what a file holds at its top. A link is not followed: it may lead to another file, or in a circle."""
    for key in file:
        if not isinstance(file.get(key, getlink=True), h5py.HardLink):
            raise CheckpointError(f"'{key:.200}' of {path.name} is a link, which is never followed")
        yield file[key]


def _check_sizes(datasets: list[tuple[str, Any]], path: Path) -> None:
    """Hold what datasets say of their sizes against the file before anything is read.

    A dataset of any shape may have no bytes at all, or compressed ones, and chunks that are larger than itself.
    """
    room = _EXPANSION * path.stat().st_size + _SLACK
    for name, dataset in datasets:
        if dataset.external is not None or dataset.is_virtual:
            raise CheckpointError(f"'{name:.200}' of {path.name} is kept in another file, which is never followed")
        if dataset.dtype.kind not in "fiub" or dataset.shape is None:
            raise CheckpointError(f"'{name:.200}' of {path.name} is of the type {dataset.dtype}, which is no weight's")
        size = math.prod(dataset.shape) * dataset.dtype.itemsize
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        room -= size
        if room < 0 or chunk > size + _SLACK:
            raise CheckpointError(
                f"'{name:.200}' of {path.name} has the shape {list(dataset.shape)}, "
                "which is more than the bytes of the file can be",
                help="download or copy the file again",
            )
