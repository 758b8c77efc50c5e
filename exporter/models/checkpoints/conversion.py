"""Write a checkpoint of another framework as PyTorch's weights, so that everything behind loading knows one format."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from exporter.errors import CheckpointError, first_line
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.foreign import ForeignTensor, translate_weights
from exporter.models.checkpoints.hdf5_file import read_hdf5
from exporter.models.checkpoints.msgpack_file import read_msgpack
from exporter.models.checkpoints.safetensors_file import check_safetensors
from exporter.models.checkpoints.savedmodel import read_savedmodel


def convert_checkpoint(checkpoint: Checkpoint, shapes: Mapping[str, torch.Size], directory: Path) -> Checkpoint:
    """Write the weights of a checkpoint to ``directory`` under PyTorch's names and in its layouts.

    Args:
        checkpoint: of any framework; one of PyTorch's is returned as it is.
        shapes: the shape of each parameter and buffer of the model.
        directory: where ``model.safetensors`` goes.

    Raises:
        CheckpointError: a file is damaged, or the package that reads it is not installed.
    """
    if checkpoint.framework == "pt":
        return checkpoint
    weights = {name: tensor.contiguous() for name, tensor in translate_weights(read_weights(checkpoint), shapes)}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    return dataclasses.replace(checkpoint, converted=directory)


def read_weights(checkpoint: Checkpoint) -> Iterator[ForeignTensor]:
    """Yield the weights of a checkpoint under the names its framework gave them.

    Raises:
        CheckpointError: a file is damaged, or the package that reads it is not installed.
    """
    files = checkpoint.weight_paths()
    match checkpoint.container:
        case "hdf5":
            yield from read_hdf5(files)
        case "msgpack":
            yield from read_msgpack(files)
        case "savedmodel":
            yield from read_savedmodel(next(file for file in files if file.suffix == ".index"))
        case "safetensors":
            for file in files:
                yield from read_safetensors(file, checkpoint.framework)


def read_safetensors(file: Path, framework: str) -> Iterator[ForeignTensor]:
    """Yield the weights of a safetensors file, mapped and not copied.

    Raises:
        CheckpointError: the file is damaged.
    """
    check_safetensors(file)
    try:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a mapping, though it has keys
                yield ForeignTensor(framework, name, opened.get_tensor(name))
    except SafetensorError as error:
        raise CheckpointError(
            f"{file.name} is not a readable safetensors file: {first_line(error)}",
            help="download or copy the file again",
        ) from error
