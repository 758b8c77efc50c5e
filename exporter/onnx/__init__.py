"""The door for people who come from ``transformers.onnx``: its command line and its Python names, over this engine.

>>> from exporter.onnx import FeaturesManager, export, validate_model_outputs     # doctest: +SKIP

Only the import line of a script changes. ``<Name>OnnxConfig``, once a class written for each model, is made from the
spec of the model when it is imported; see ``docs/migrating.md``.
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
