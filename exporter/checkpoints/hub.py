"""Resolve a hub id to a local directory, through the cache transformers uses."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.checkpoints.directory import COMPANIONS, Checkpoint, open_directory
from exporter.diagnostics import CheckpointError, UsageError

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?\Z")
_WEIGHT_PATTERNS = (
    ("pt", ["*.safetensors", "*.safetensors.index.json"]),
    ("pt", ["pytorch_model*.bin", "pytorch_model.bin.index.json"]),
    ("tf", ["tf_model*.h5", "tf_model.h5.index.json", "*.safetensors"]),
    ("tf", ["saved_model/*"]),
    ("flax", ["flax_model*.msgpack", "flax_model.msgpack.index.json", "*.safetensors"]),
)
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def open_checkpoint(
    model: str,
    *,
    revision: str | None = None,
    code: bool = False,
    framework: str | None = None,
    cache_dir: str | None = None,
) -> Checkpoint:
    """Open a directory, or download a hub id into the cache and open that.

    Args:
        model: a path or a hub id such as ``organization/model``.
        revision: the branch, tag or commit of a hub id.
        code: also fetch Python files, which only ``--trust-remote-code`` runs.
        framework: whose weights to take where there are several: ``pt``, ``tf`` or ``flax``.
        cache_dir: where downloads are kept. Default: the cache transformers uses.

    Raises:
        UsageError: it is neither a directory nor a hub id.
        CheckpointError: the hub has no such model, or cannot be reached.
    """
    if not model:
        raise UsageError("the checkpoint has no name", help="give a directory or a hub id with --model")
    path = Path(model)
    if path.exists() or model.startswith((".", "/", "~")) or not _HUB_ID.match(model):
        if revision is not None:
            raise UsageError("--revision goes with a hub id, not with a directory")
        return open_directory(path.expanduser(), model, framework=framework)
    directory = _download(model, revision, code, framework, cache_dir)
    commit = directory.name if _COMMIT.match(directory.name) else None
    return open_directory(directory, model, commit, framework)


def _download(model: str, revision: str | None, code: bool, framework: str | None, cache_dir: str | None) -> Path:
    from huggingface_hub import errors, snapshot_download

    patterns = [*COMPANIONS, "[0-9]_*/*", *(["*.py"] if code else [])]
    # One framework's weights are enough, and the first of them that is there.
    wanted = [files for owner, files in _WEIGHT_PATTERNS if framework in (None, owner)]
    try:
        for files in wanted:
            found = snapshot_download(
                model, revision=revision, cache_dir=cache_dir, allow_patterns=[*patterns, *files], etag_timeout=5
            )
            directory = Path(found)
            if any(file for pattern in files for file in directory.glob(pattern)):
                break
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            f"the hub has no model '{model}' (or it is private), and there is no directory of that name",
            help="check the spelling; for a private model set HF_TOKEN",
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"'{model}' has no revision '{revision}'") from None
    except errors.GatedRepoError:
        raise CheckpointError(f"'{model}' is gated", help="accept its terms on the hub and set HF_TOKEN") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError):
        raise CheckpointError(
            f"there is no directory '{model}', and the hub cannot be reached to look for a model of that name",
            help="give the path of a local checkpoint, or check the network (HF_HUB_OFFLINE, HF_ENDPOINT)",
        ) from None
    return directory
