"""What a checkpoint directory holds: its config, its weight files, and the files that travel with a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoints.safetensors_file import check_safetensors
from exporter.diagnostics import CheckpointError, UsageError

# In the order transformers prefers them.
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_FOREIGN_FILES = {
    "tf_model.h5": "TensorFlow", "tf_model.h5.index.json": "TensorFlow", "flax_model.msgpack": "Flax",
    "flax_model.msgpack.index.json": "Flax", "model.weights.h5": "Keras",
}  # fmt: skip
# Files of a checkpoint that a runtime needs beside the graph. They are copied as they are: a tokenizer saved again by
# this version of transformers could not be read by older tools.
COMPANIONS = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
    "spm.model", "tokenizer.model", "source.spm", "target.spm", "target_vocab.json", "bpe.codes", "emoji.json",
    "normalizer.json", "chat_template.jinja", "chat_template.json", "preprocessor_config.json",
    "processor_config.json", "feature_extractor_config.json", "video_preprocessor_config.json",
    "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory with a model in it.

    ``name`` is what the user called it; ``commit`` is the hub commit it was resolved to, where it came from a hub.
    """

    path: Path
    name: str
    weight_files: tuple[str, ...]
    commit: str | None = None

    def read_config(self) -> dict[str, Any]:
        """Return ``config.json`` as data."""
        return read_json(self.path / "config.json")

    def companions(self) -> Iterator[Path]:
        """Iterate over the files that go beside the graph."""
        return (self.path / name for name in COMPANIONS if (self.path / name).is_file())

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of config and weight files, by name."""
        return {name: digest_file(self.path / name) for name in sorted(("config.json", *self.weight_files))}


def open_directory(path: Path, name: str, commit: str | None = None) -> Checkpoint:
    """Look at a checkpoint directory and check what can be checked before loading.

    Raises:
        UsageError: there is no such directory.
        CheckpointError: it has no config or no weights, or they are truncated or of another framework.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UsageError(
            f"the checkpoint '{name}' {what}", help="give a directory with config.json and model.safetensors"
        )
    if not (path / "config.json").is_file():
        raise CheckpointError(f"there is no config.json in '{name}'", help="save the model with save_pretrained(DIR)")
    read_json(path / "config.json")
    found = next((path / file for file in _WEIGHT_FILES if (path / file).is_file()), None)
    if found is None:
        raise _without_weights(path, name)
    files = _shards(found) if found.suffix == ".json" else [found]
    for file in files:
        if not file.is_file():
            raise CheckpointError(
                f"the shard {file.name} named by {found.name} is missing in '{name}'", help="copy the whole checkpoint"
            )
        try:
            with file.open("rb") as opened:
                opened.read(1)
        except OSError as error:
            raise CheckpointError(f"{file.name} cannot be read: {error.strerror}") from None
        if file.stat().st_size == 0:
            raise CheckpointError(f"{file.name} in '{name}' is empty", help="download or copy the file again")
        if file.suffix == ".safetensors":
            check_safetensors(file)
    index = [found.name] if found.suffix == ".json" else []
    return Checkpoint(path, name, tuple(sorted({*index, *(file.name for file in files)})), commit)


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index.name} has no weight_map", help="copy the whole checkpoint")
    names = sorted(set(map(str, weight_map.values())))
    outside = next((shard for shard in names if Path(shard).name != shard), None)
    if outside is not None:
        raise CheckpointError(f"{index.name} names '{outside}', which is outside the checkpoint's directory")
    return [index.parent / shard for shard in names]


def _without_weights(path: Path, name: str) -> CheckpointError:
    foreign = next(((file, framework) for file, framework in _FOREIGN_FILES.items() if (path / file).is_file()), None)
    if foreign is not None:
        return CheckpointError(
            f"'{name}' holds {foreign[1]} weights ({foreign[0]}), which cannot be read yet",
            help="save the checkpoint with save_pretrained from the PyTorch model",
        )
    return CheckpointError(f"there are no weights in '{name}'", help=f"expected one of {', '.join(_WEIGHT_FILES)}")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file that must hold a mapping.

    Raises:
        CheckpointError: it cannot be read or is not a JSON mapping.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object")
    return data


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
