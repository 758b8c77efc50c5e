"""The command line and the Python names of ``transformers.onnx``, for people who come from there.

>>> from exporter.onnx import FeaturesManager, export, validate_model_outputs     # doctest: +SKIP

Of a script that used ``transformers.onnx``, only the import line changes. A class such as ``BertOnnxConfig`` is made
from the spec of its architecture when it is imported; see ``docs/migrating.md``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.onnx.config import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast
    from exporter.onnx.convert import export, validate_model_outputs
    from exporter.onnx.features import FeaturesManager

__all__ = [
    "FeaturesManager",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "export",
    "validate_model_outputs",
]

_HOMES = {
    "FeaturesManager": "features",
    "OnnxConfig": "config",
    "OnnxConfigWithPast": "config",
    "OnnxSeq2SeqConfigWithPast": "config",
    "export": "convert",
    "validate_model_outputs": "convert",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name, "models" if name.endswith("Config") else None)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
