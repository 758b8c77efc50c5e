"""The tokenizer or processor of a checkpoint, as transformers loads it."""

from __future__ import annotations

from typing import Any


def load_preprocessor(name: str) -> Any:
    """Return the processor of a checkpoint, else its tokenizer, else its image or sound processor; None without any.

    Args:
        name: a directory or hub id.
    """
    import transformers

    from exporter.models.configs import quiet_libraries

    for kind in ("AutoProcessor", "AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor"):
        try:
            with quiet_libraries():
                return getattr(transformers, kind).from_pretrained(name)
        except Exception:  # what a class says of files that are not its own differs from class to class
            continue
    return None
