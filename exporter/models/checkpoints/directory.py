"""What a checkpoint directory holds: its config, its weight files, and the files that travel with a model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError, UsageError, first_line
from exporter.models.checkpoints.safetensors_file import check_safetensors, safetensors_framework

FRAMEWORKS = {"pt": "PyTorch", "tf": "TensorFlow", "flax": "Flax"}
# The files weights come in, with their format, in the order of preference. Sharded ones are found by their index.
_CONTAINERS = (
    ("model.safetensors", "safetensors"),
    ("model.safetensors.index.json", "safetensors"),
    ("pytorch_model.bin", "bin"),
    ("pytorch_model.bin.index.json", "bin"),
    ("tf_model.h5", "hdf5"),
    ("tf_model.h5.index.json", "hdf5"),
    ("saved_model/*/variables/variables.index", "savedmodel"),
    ("flax_model.msgpack", "msgpack"),
    ("flax_model.msgpack.index.json", "msgpack"),
)
_FRAMEWORK_OF = {"bin": "pt", "hdf5": "tf", "savedmodel": "tf", "msgpack": "flax"}
# What looks like weights and cannot be used, with the reason and the way out.
_REFUSED = (
    ("*.weights.h5", "Keras 3 weights", "store positions instead of names, so nothing says which weight is which"),
    ("*.keras", "a Keras 3 model", "stores positions instead of names, so nothing says which weight is which"),
    ("*.gguf", "GGUF weights", "are quantised, and a graph of them would compute something else"),
    ("*.index", "a TensorFlow 1 checkpoint", "names variables of a program that is not here"),
    ("*/*.index", "a TensorFlow 1 checkpoint", "names variables of a program that is not here"),
)
# Files of a checkpoint that a runtime needs beside the graph. They are copied as they are: a tokenizer saved again by
# this version of transformers could not be read by older tools.
COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "bpe.codes",
    "emoji.json",
    "normalizer.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "feature_extractor_config.json",
    "video_preprocessor_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory with a model in it.

    Attributes:
        path: the directory.
        name: what the user called it.
        weight_files: the files of its weights, relative to the directory, indices of shards among them.
        commit: the hub commit it was resolved to; None for a directory of the user's.
        framework: whose weights these are: ``pt``, ``tf`` or ``flax``.
        container: the format of their files: ``safetensors``, ``bin``, ``hdf5``, ``savedmodel`` or ``msgpack``.
        converted: the directory of the same weights as PyTorch's, once they have been converted.
        trust_remote_code: whether it may run Python of its own.
        remarks: what the reader of an artifact must know of how the checkpoint was taken, in one line each, such as
            weights that no graph has.
    """

    path: Path
    name: str
    weight_files: tuple[str, ...]
    commit: str | None = None
    framework: str = "pt"
    container: str = "safetensors"
    converted: Path | None = None
    trust_remote_code: bool = False
    remarks: tuple[str, ...] = ()

    def remarked(self, *remarks: str) -> Checkpoint:
        """Return the checkpoint with more remarks."""
        return replace(self, remarks=(*self.remarks, *remarks))

    @property
    def pytorch_path(self) -> Path:
        """The directory whose weights PyTorch can load."""
        return self.converted or self.path

    def weight_paths(self) -> list[Path]:
        """Return the files with weights in them, without the indices of shards."""
        return [self.path / name for name in self.weight_files if not name.endswith(".json")]

    def read_config(self) -> dict[str, Any]:
        """Return ``config.json`` as data."""
        return read_json(self.path / "config.json")

    def companions(self) -> Iterator[Path]:
        """Iterate over the files that go beside the graph."""
        return (self.path / name for name in COMPANIONS if (self.path / name).is_file())

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of config and weight files, by name."""
        return {name: digest_file(self.path / name) for name in sorted(("config.json", *self.weight_files))}


def open_directory(path: Path, name: str, commit: str | None = None, framework: str | None = None) -> Checkpoint:
    """Look at a checkpoint directory and check what can be checked before loading.

    Args:
        path: the directory.
        name: what the user called it.
        commit: the hub commit it is of.
        framework: whose weights to take where it holds several: ``pt``, ``tf`` or ``flax``. Default: the first of these
            that it has.

    Raises:
        UsageError: there is no such directory.
        CheckpointError: it has no config or no weights, or they are truncated, quantised or of another framework.
    """
    if not path.is_dir():
        reason = "is a file" if path.exists() else "does not exist"
        raise UsageError(
            f"the checkpoint '{name}' {reason}", help="give a directory with config.json and model.safetensors"
        )
    if not (path / "config.json").is_file():
        raise CheckpointError(f"there is no config.json in '{name}'", help="save the model with save_pretrained(DIR)")
    _refuse_quantised(path / "config.json", name)
    present = list(_find_weights(path))
    chosen = min(
        (weights for weights in present if framework in (None, weights.framework)),
        key=lambda weights: list(FRAMEWORKS).index(weights.framework),
        default=None,
    )
    if chosen is None:
        raise _without_weights(path, name, framework, present)
    for file in chosen.files:
        _check_file(file, chosen, name)
    files = {file.relative_to(path).as_posix() for file in (*chosen.files, *chosen.beside)}
    return Checkpoint(path, name, tuple(sorted(files)), commit, chosen.framework, chosen.container)


@dataclass(frozen=True, slots=True)
class _Weights:
    """One set of weight files.

    ``named_by`` is the file it is recognised by, such as an index of shards; ``files`` hold the weights, and ``beside``
    are files that go with them and hold none, such as that index.
    """

    framework: str
    container: str
    named_by: Path
    files: tuple[Path, ...]
    beside: tuple[Path, ...] = ()


def _find_weights(path: Path) -> Iterator[_Weights]:
    for pattern, container in _CONTAINERS:
        for file in sorted(path.glob(pattern)):
            if not file.is_file():
                continue
            if container == "savedmodel":
                data = tuple(sorted(file.parent.glob("variables.data-*-of-*")))
                yield _Weights("tf", container, file, (file, *data))
                continue
            index = (file,) if file.suffix == ".json" else ()
            files = tuple(_shards(file)) if index else (file,)
            framework = _FRAMEWORK_OF.get(container) or _framework_of_safetensors(files[0])
            yield _Weights(framework, container, file, files, index)


def _framework_of_safetensors(file: Path) -> str:
    try:
        return safetensors_framework(file)
    except (OSError, CheckpointError):
        return "pt"  # what is wrong with the file is told when it is checked


def _check_file(file: Path, weights: _Weights, name: str) -> None:
    if not file.is_file():
        raise CheckpointError(
            f"the shard {file.name} named by {weights.named_by.name} is missing in '{name}'",
            help="copy the whole checkpoint",
        )
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise CheckpointError(f"{file.name} cannot be read: {first_line(error.strerror or error)}") from None
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file.name} in '{name}' is empty", help="download or copy the file again")
    if weights.container == "safetensors":
        check_safetensors(file)


def _refuse_quantised(config: Path, name: str) -> None:
    """Refuse quantised weights: their model has operators of its own, and a graph of plain ones would differ."""
    settings = read_json(config).get("quantization_config")
    if settings is not None:
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        raise CheckpointError(
            f"'{name}' is quantised ({method or 'quantization_config in config.json'}), "
            "and a graph of it would compute something else",
            help="give the checkpoint it was quantised from, and quantise the graph instead",
        )


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index.name} has no weight_map", help="copy the whole checkpoint")
    names = sorted(set(map(str, weight_map.values())))
    outside = next((shard for shard in names if Path(shard).name != shard), None)
    if outside is not None:
        raise CheckpointError(f"{index.name} names '{outside}', which is outside the checkpoint's directory")
    return [index.parent / shard for shard in names]


def _without_weights(path: Path, name: str, framework: str | None, present: list[_Weights]) -> CheckpointError:
    if present:
        has = ", ".join(f"{FRAMEWORKS[weights.framework]} ({weights.named_by.name})" for weights in present)
        return CheckpointError(
            f"'{name}' has no {FRAMEWORKS[framework or 'pt']} weights; it has {has}", help="leave --framework out"
        )
    for pattern, kind, reason in _REFUSED:
        refused = next((file for file in sorted(path.glob(pattern)) if file.is_file()), None)
        if refused is not None:
            return CheckpointError(
                f"'{name}' holds {kind} ({refused.name}), which {reason}",
                help="save the model with save_pretrained from transformers: "
                "model.safetensors, tf_model.h5 or flax_model.msgpack",
            )
    names = ", ".join(pattern for pattern, _ in _CONTAINERS if not pattern.endswith(".json"))
    return CheckpointError(f"there are no weights in '{name}'", help=f"expected one of {names}")


def check_architecture(checkpoint: Checkpoint, architecture: str) -> None:
    """Fail when a checkpoint is of another architecture than a spec.

    Raises:
        UsageError: names both.
    """
    own = checkpoint.read_config().get("model_type")
    if own is not None and own != architecture:
        raise UsageError(
            f"'{checkpoint.name}' is a checkpoint of the architecture '{own}', and the spec is of '{architecture}'",
            help=f"leave the spec out: exporter build --model {checkpoint.name}",
        )


def pytorch_class(name: str) -> str:
    """Return the PyTorch class of a model class named in a config: ``TFXModel`` and ``FlaxXModel`` are ``XModel``."""
    return re.sub(r"\A(TF|Flax)(?=[A-Z])", "", name)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file that must hold a mapping.

    Raises:
        CheckpointError: it cannot be read or is not a JSON mapping.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {first_line(error.strerror or error)}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON: {first_line(error)}") from None
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
