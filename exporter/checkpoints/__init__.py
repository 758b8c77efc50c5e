"""Open a checkpoint: a directory or a hub id."""

from exporter.checkpoints.directory import Checkpoint, digest_file, open_directory
from exporter.checkpoints.hub import open_checkpoint

__all__ = ["Checkpoint", "digest_file", "open_checkpoint", "open_directory"]
