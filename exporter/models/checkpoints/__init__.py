"""Open a checkpoint: a directory or a hub id."""

from exporter.models.checkpoints.directory import (
    FRAMEWORKS,
    Checkpoint,
    check_architecture,
    digest_file,
    open_directory,
    pytorch_class,
)
from exporter.models.checkpoints.hub import open_checkpoint
from exporter.models.checkpoints.source import Source

__all__ = [
    "FRAMEWORKS",
    "Checkpoint",
    "Source",
    "check_architecture",
    "digest_file",
    "open_checkpoint",
    "open_directory",
    "pytorch_class",
]
