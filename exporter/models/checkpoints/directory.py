"""What a checkpoint directory holds: its config, its weight files, and the files that travel with a model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError, UsageError, first_line, some
from exporter.models.checkpoints.adapter import Adapter, is_adapter, refuse_beside_weights
from exporter.models.checkpoints.json_file import read_json
from exporter.models.checkpoints.links import check_links
from exporter.models.checkpoints.plausibility import Extent, check_plausible
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
_BLOCK = 1 << 22
# Characters in the name of a file, of which the usual file systems take 255 bytes.
_LONGEST_NAME = 255


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
        outer: the directory around it, where sentence-transformers keeps the model in a folder beside its modules.
        module_files: the files of sentence-transformers' modules whose values are in the graph.
        remarks: what the reader of an artifact must know of how the checkpoint was taken, in one line each, such as
            weights that no graph has.
        stamps: size and time of each of its files when they were checked.
        adapter: the adapter that is asked for, of which this is the base.
    """

    path: Path
    name: str
    weight_files: tuple[str, ...]
    commit: str | None = None
    framework: str = "pt"
    container: str = "safetensors"
    converted: Path | None = None
    trust_remote_code: bool = False
    outer: Path | None = None
    module_files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    stamps: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    adapter: Adapter | None = None

    def remarked(self, *remarks: str) -> Checkpoint:
        """Return the checkpoint with more remarks, each of which stands once."""
        return replace(self, remarks=tuple(dict.fromkeys((*self.remarks, *remarks))))

    @property
    def whole(self) -> Path:
        """The directory of the model and of all that belongs to it."""
        return self.outer or self.path

    def pytorch_files(self) -> list[Path]:
        """Return the files with the weights that PyTorch can load."""
        return [self.converted / "model.safetensors"] if self.converted is not None else self.weight_paths()

    def weight_paths(self) -> list[Path]:
        """Return the files with weights in them, without the indices of shards."""
        return [self.path / name for name in self.weight_files if not name.endswith(".json")]

    def read_config(self) -> dict[str, Any]:
        """Return ``config.json`` as data, with as many labels as the classifier of an adapter has."""
        config = read_json(self.path / "config.json")
        labels = self.adapter.labels if self.adapter is not None else None
        if labels is None or labels == _label_count(config):
            return config
        return {**{key: config[key] for key in config if key not in ("id2label", "label2id")}, "num_labels": labels}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of config, weight files, modules and adapter, by name.

        Raises:
            CheckpointError: a file is not the one that was checked, and loaded, any more.
        """
        for name, stamp in self.stamps.items():
            if not (self.path / name).is_file() or _stamp(self.path / name) != stamp:
                raise CheckpointError(
                    f"{name} of '{self.name}' changed while it was read", help="build again when nothing writes there"
                )
        files = {name: self.path / name for name in ("config.json", *self.weight_files)}
        files |= {name: self.whole / name for name in self.module_files}
        if self.adapter is not None:
            files |= {f"adapter/{file.name}": file for file in self.adapter.files}
        return {name: digest_file(files[name]) for name in sorted(files)}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _label_count(config: Mapping[str, Any]) -> int | None:
    labels = config.get("id2label")
    return len(labels) if isinstance(labels, dict) else config.get("num_labels")


def has_weights(path: Path) -> bool:
    """Tell whether a directory holds weights of a model, whatever state they are in."""
    return any(file.is_file() for pattern, _ in _CONTAINERS for file in path.glob(pattern))


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
    if not (path / "config.json").is_file() and is_adapter(path):
        raise CheckpointError(
            f"'{name}' is an adapter and no model of its own", help="give it with --model, or merge it into its base"
        )
    if not (path / "config.json").is_file():
        raise CheckpointError(f"there is no config.json in '{name}'", help="save the model with save_pretrained(DIR)")
    check_links(path, name, [path / "config.json"])
    config = read_json(path / "config.json")
    _refuse_quantised(config, name)
    named = config.get("transformers_weights")
    present = list(_named_weights(path, named) if named is not None else _find_weights(path))
    chosen = min(
        (weights for weights in present if framework in (None, weights.framework)),
        key=lambda weights: list(FRAMEWORKS).index(weights.framework),
        default=None,
    )
    if chosen is None:
        raise _without_weights(path, name, framework, present)
    refuse_beside_weights(path, name, chosen.named_by.name)
    check_links(path, name, (*chosen.files, *chosen.beside))
    check_plausible(path / "config.json", config, _check_files(chosen, name))
    files = {file.relative_to(path).as_posix() for file in (*chosen.files, *chosen.beside)}
    stamps = {file: _stamp(path / file) for file in ("config.json", *sorted(files))}
    return Checkpoint(path, name, tuple(sorted(files)), commit, chosen.framework, chosen.container, stamps=stamps)


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
            yield _weights_of(file, container)


def _named_weights(path: Path, named: Any) -> Iterator[_Weights]:
    """Yield the weights that ``transformers_weights`` of a config names in place of the usual files.

    Raises:
        CheckpointError: it is no name of a file in the directory.
    """
    if not isinstance(named, str) or Path(named).name != named or len(named.encode()) > _LONGEST_NAME:
        raise CheckpointError(
            f"'transformers_weights' in config.json is {named!r:.200}, which names no file of the checkpoint",
            help="remove 'transformers_weights' from config.json, or name a file beside it",
        )
    kinds = {".safetensors": "safetensors", ".safetensors.index.json": "safetensors", ".bin": "bin"}
    kinds[".bin.index.json"] = "bin"
    container = next((kind for ending, kind in kinds.items() if named.endswith(ending)), None)
    if container is None or not (path / named).is_file():
        raise CheckpointError(
            f"'transformers_weights' in config.json names '{named}', and there are no weights of that name",
            help="remove 'transformers_weights' from config.json, or copy the file too",
        )
    yield _weights_of(path / named, container)


def _weights_of(file: Path, container: str) -> _Weights:
    index = (file,) if file.suffix == ".json" else ()
    files = tuple(_shards(file)) if index else (file,)
    framework = _FRAMEWORK_OF.get(container) or _framework_of_safetensors(files[0])
    return _Weights(framework, container, file, files, index)


def _framework_of_safetensors(file: Path) -> str:
    try:
        return safetensors_framework(file)
    except (OSError, CheckpointError):
        return "pt"  # what is wrong with the file is told when it is checked


def _check_files(weights: _Weights, name: str) -> Extent:
    """Check that the files of weights are whole, and return how much they hold, as far as their headers say.

    Raises:
        CheckpointError: a file is missing, empty or damaged, or the index of shards names other weights than they hold.
    """
    held: dict[str, tuple[int, ...]] = {}
    in_shard: dict[str, str] = {}
    for file in weights.files:
        for weight, shape in _check_file(file, weights, name).items():
            if weight in held:
                raise CheckpointError(
                    f"the weight '{weight}' of '{name}' is in two shards: {in_shard[weight]} and {file.name}",
                    help="copy the whole checkpoint again",
                )
            held[weight], in_shard[weight] = shape, file.name
    if weights.container != "safetensors":
        size = sum(file.stat().st_size for file in weights.files)
        return Extent(size, size)
    for index in weights.beside:
        named = read_json(index)["weight_map"]
        wrong = sorted(weight for weight, shard in named.items() if in_shard.get(weight) != shard)
        if wrong:
            raise CheckpointError(
                f"{index.name} names {len(wrong)} weights that are not in the shard it says: {some(wrong)}",
                help="copy the whole checkpoint again",
            )
    return Extent(len(held), sum(math.prod(shape) for shape in held.values()))


def _check_file(file: Path, weights: _Weights, name: str) -> dict[str, tuple[int, ...]]:
    """Check one file, and return the names and shapes in it where its header has them."""
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
    return check_safetensors(file) if weights.container == "safetensors" else {}


def _refuse_quantised(config: Mapping[str, Any], name: str) -> None:
    """Refuse quantised weights: their model has operators of its own, and a graph of plain ones would differ."""
    settings = config.get("quantization_config")
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
        raise CheckpointError(f"{index.name} names '{outside:.200}', which is outside the checkpoint's directory")
    unwritable = next((shard for shard in names if not shard.isprintable() or len(shard) > _LONGEST_NAME), None)
    if unwritable is not None:
        raise CheckpointError(
            f"{index.name} names {unwritable!r:.200}, which is no name of a file",
            help="copy the whole checkpoint again",
        )
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


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
