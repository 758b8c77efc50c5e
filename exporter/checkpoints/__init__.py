"""Open a checkpoint: a directory or a hub id."""

from exporter.checkpoints.directory import FRAMEWORKS, Checkpoint, digest_file, open_directory, pytorch_class
from exporter.checkpoints.hub import open_checkpoint

__all__ = ["FRAMEWORKS", "Checkpoint", "digest_file", "open_checkpoint", "open_directory", "pytorch_class"]
