"""Read ``tf_model.h5``: the variables Keras 2 wrote, by name, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.errors import CheckpointError, ExporterError, first_line
from exporter.models.checkpoints.foreign import ForeignTensor


def read_hdf5(files: Sequence[Path]) -> Iterator[ForeignTensor]:
    """Yield the variables of whole or sharded HDF5 files, one in memory at a time.

    Raises:
        CheckpointError: h5py is not installed, or a file is damaged or was not written by Keras 2.
    """
    try:
        import h5py
    except ImportError:
        raise CheckpointError(
            f"reading {files[0].name} needs h5py, which is not installed", help="pip install 'exporter[tf]'"
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
    scoped = any("weight_names" in file[key].attrs for key in file)
    for group in [file[key] for key in file] if scoped else [file]:
        group.visititems(note)
    for name, dataset in datasets:
        if dataset.external is not None or dataset.is_virtual:
            raise CheckpointError(f"'{name}' of {path.name} is kept in another file, which is never followed")
        if dataset.dtype.kind not in "fiub":
            raise CheckpointError(f"'{name}' of {path.name} is of the type {dataset.dtype}, which is no weight's")
        yield ForeignTensor("tf", name, torch.from_numpy(np.ascontiguousarray(dataset[()])), scoped)
