"""The settings of a checkpoint's processor, as far as its files say them."""

from __future__ import annotations

from exporter.language.expressions import ProcessorValues
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.json_file import read_json

# The processors of sound and images that a processor for several kinds of input holds.
_PROCESSORS = ("image_processor", "audio_processor", "feature_extractor")


def load_processor(checkpoint: Checkpoint) -> ProcessorValues:
    """Return the settings of a checkpoint's processor, which says nothing where it has no files.

    What is nested in ``processor_config.json`` hides ``preprocessor_config.json``, as it does for transformers.

    Raises:
        CheckpointError: a file of the processor is not readable.
    """
    together, alone = (
        read_json(path) if path.is_file() else {}
        for path in (checkpoint.path / name for name in ("processor_config.json", "preprocessor_config.json"))
    )
    parts = [part for name in _PROCESSORS if isinstance(part := together.get(name), dict)]
    return ProcessorValues({key: value for part in parts or [alone] for key, value in part.items()})
