"""Resolve a hub id to a local directory, through the cache transformers uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from glob import escape
from pathlib import Path, PurePosixPath

from exporter.errors import CheckpointError, ExporterError, UsageError, first_line
from exporter.models.checkpoints.adapter import BY_HAND, Adapter, is_adapter, open_adapter
from exporter.models.checkpoints.directory import Checkpoint, has_weights, open_directory
from exporter.models.checkpoints.file_kinds import undownloaded
from exporter.models.checkpoints.links import check_links
from exporter.models.checkpoints.modules import read_modules
from exporter.models.checkpoints.source import Source

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?\Z")
_WEIGHT_PATTERNS = (
    ("pt", ["model*.safetensors", "model.safetensors.index.json"]),
    ("pt", ["pytorch_model*.bin", "pytorch_model.bin.index.json"]),
    ("pt", ["adapter_model.safetensors", "adapter_model.bin"]),
    ("tf", ["tf_model*.h5", "tf_model.h5.index.json", "*.safetensors"]),
    ("tf", ["saved_model/*"]),
    ("flax", ["flax_model*.msgpack", "flax_model.msgpack.index.json", "*.safetensors"]),
)
# Folders whose files are data whatever they are called, such as a language model of speech recognition.
_WITH_DATA = ("language_model/*",)
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def open_checkpoint(source: Source) -> Checkpoint:
    """Open a directory, or download a hub id into the cache and open that.

    Raises:
        UsageError: it is neither a directory nor a hub id.
        CheckpointError: the hub has no such model, does not give it to this user, or cannot be reached.
    """
    if not source.name:
        raise UsageError("the checkpoint has no name", help="give a directory or a hub id with --model")
    path = Path(source.name)
    try:
        stands = path.exists()
    except OSError as error:  # of a name too long for a file system
        raise UsageError(
            f"the checkpoint '{source.name:.100}' cannot be looked for: {error.strerror}",
            help="give a directory or a hub id with --model",
        ) from None
    if stands or source.name.startswith((".", "/", "~")) or not _HUB_ID.match(source.name):
        if source.revision is not None:
            raise UsageError("--revision goes with a hub id, not with a directory", help="leave --revision out")
        directory, commit = path.expanduser(), None
    else:
        directory = _download(source)
        commit = directory.name if _COMMIT.match(directory.name) else None
    directory = _inside(directory, source)
    if is_adapter(directory) and not has_weights(directory):
        return _open_base(open_adapter(directory, source.name, commit), source)
    folder = _model_folder(directory, source.name)
    checkpoint = open_directory(directory / folder, source.name, commit, source.framework)
    outer = directory if folder.parts else None
    return replace(checkpoint, outer=outer, trust_remote_code=source.trust_remote_code)


def _subfolder(source: Source) -> PurePosixPath:
    """Return where in its directory a checkpoint is.

    Raises:
        UsageError: that is no place inside.
    """
    folder = PurePosixPath(source.subfolder or "")
    if folder.is_absolute() or ".." in folder.parts:
        raise UsageError(
            f"the subfolder '{source.subfolder}' leads out of '{source.name}'",
            help="give a folder inside the checkpoint",
        )
    return folder


def _inside(directory: Path, source: Source) -> Path:
    """Return the folder of a directory that was asked for.

    Raises:
        UsageError: there is none.
    """
    folder = _subfolder(source)
    if not folder.parts:
        return directory
    check_links(directory, source.name, [directory / folder])
    if not (directory / folder).is_dir():
        folders = sorted(path.parent.relative_to(directory).as_posix() for path in directory.glob("*/config.json"))
        raise UsageError(
            f"'{source.name}' has no folder '{folder}'",
            help=f"these have a config.json: {', '.join(folders)}" if folders else "leave --subfolder out",
        )
    return directory / folder


def _open_base(adapter: Adapter, source: Source) -> Checkpoint:
    """Open the checkpoint that an adapter belongs to: a directory, seen from here or from the adapter's, or a hub id.

    Raises:
        CheckpointError: it cannot be opened, or is an adapter too.
    """
    beside = adapter.path / adapter.base
    try:
        is_here, is_beside = Path(adapter.base).is_dir(), beside.is_dir()
    except OSError:  # a name too long for a file system; opening it says so
        is_here = is_beside = False
    name = str(beside) if is_beside and not is_here else adapter.base
    revision = None if is_here or is_beside else adapter.revision
    try:
        base = open_checkpoint(replace(source, name=name, revision=revision, subfolder=None))
    except ExporterError as error:
        raise CheckpointError(
            f"the base of the adapter '{adapter.name}' cannot be opened: {error.message}",
            help=f"{error.help}; or {BY_HAND}" if error.help else BY_HAND,
        ) from error
    if base.adapter is not None:
        raise CheckpointError(
            f"the base of the adapter '{adapter.name}' is an adapter too: '{adapter.base}'",
            help="merge that one into its base first, with merge_and_unload() of PEFT and save_pretrained()",
        )
    return replace(base, name=adapter.name, adapter=adapter)


def _model_folder(directory: Path, name: str) -> PurePosixPath:
    """Return the folder of the model in a checkpoint: where sentence-transformers put it, or the directory itself."""
    if (directory / "config.json").is_file():
        return PurePosixPath()
    first = next((module.folder for module in read_modules(directory, name)), PurePosixPath())
    if not (directory / first / "config.json").is_file():
        return PurePosixPath()
    check_links(directory, name, [directory / first])
    return first


def _download(source: Source) -> Path:
    """Return the directory of the cache with config, companions and one framework's weights of a hub id."""
    from huggingface_hub import errors, snapshot_download

    revision, inside = source.revision, _subfolder(source)
    is_away = not _answers(source.name)

    def download(allow: list[str] | None, ignore: list[str] | None = None) -> Path:
        snapshot = snapshot_download(
            source.name,
            revision=revision,
            cache_dir=source.cache_dir,
            allow_patterns=allow,
            ignore_patterns=ignore,
            etag_timeout=5,
            local_files_only=is_away,
        )
        return Path(snapshot)

    # One framework's weights are enough, and the first of them that is there.
    attempts = [weights for owner, weights in _WEIGHT_PATTERNS if source.framework in (None, owner)]
    try:
        directory = download(None, list(undownloaded(trust_remote_code=source.trust_remote_code)))
        # A branch may move on between the downloads.
        revision = directory.name if _COMMIT.match(directory.name) else revision
        code = [] if source.trust_remote_code else ["*.py"]
        modules = _module_patterns(directory / inside, source.name)
        download([(inside / pattern).as_posix() for pattern in (*_WITH_DATA, *modules)], code)
        folder = inside / _model_folder(directory / inside, source.name)
        for weights in attempts:
            directory = download([(folder / pattern).as_posix() for pattern in weights])
            if any(file for pattern in weights for file in (directory / folder).glob(pattern)):
                break
    except ExporterError:
        raise
    except errors.HFValidationError as error:
        raise UsageError(
            f"'{source.name}' is neither a directory nor a hub id: {first_line(error)}",
            help="give a directory or a hub id with --model",
        ) from None
    except errors.GatedRepoError:  # a kind of RepositoryNotFoundError
        raise CheckpointError(
            f"'{source.name}' is gated", help="accept its terms on the hub and set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            f"the hub has no model '{source.name}' (or it is private), and there is no directory of that name",
            help="check the spelling; for a private model set HF_TOKEN",
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"'{source.name}' has no revision '{source.revision}'") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError):
        raise CheckpointError(
            f"there is no directory '{source.name}', and the hub cannot be reached to look for a model of that name",
            help="give the path of a local checkpoint, or check the network (HF_HUB_OFFLINE, HF_ENDPOINT)",
        ) from None
    except Exception as error:
        raise CheckpointError(f"'{source.name}' cannot be downloaded: {first_line(error)}") from error
    return directory


def _answers(name: str) -> bool:
    """Tell whether the hub answers when it is asked once.

    Where it does not, what was downloaded before is taken at once: the library asks six times, with pauses of 23 s in
    all, for the files of a commit.
    """
    from huggingface_hub import HfApi, errors

    try:
        HfApi().model_info(name, timeout=5)
    except errors.HfHubHTTPError:
        return True  # a refusal is an answer
    except Exception:  # whatever the network, its libraries or an id that is none raise
        return False
    return True


def _module_patterns(directory: Path, name: str) -> Iterator[str]:
    """Yield the patterns of the folders of modules behind the model, whose weights are not the model's."""
    for module in read_modules(directory, name)[1:]:
        if module.folder.parts:
            yield f"{escape(str(module.folder))}/*"
