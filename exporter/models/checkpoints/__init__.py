"""Open a checkpoint: a directory or a hub id."""

from exporter.models.checkpoints.companions import Companions, LeftBehind, find_companions, left_text
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
    "Companions",
    "LeftBehind",
    "Source",
    "check_architecture",
    "digest_file",
    "find_companions",
    "left_text",
    "open_checkpoint",
    "open_directory",
    "pytorch_class",
]
