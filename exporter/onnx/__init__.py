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
    from exporter.onnx.patching import PatchingSpec
    from exporter.onnx.utils import (
        EXTERNAL_DATA_FORMAT_SIZE_LIMIT,
        ParameterFormat,
        compute_serialized_parameters_size,
    )

__all__ = [
    "EXTERNAL_DATA_FORMAT_SIZE_LIMIT",
    "FeaturesManager",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "ParameterFormat",
    "PatchingSpec",
    "compute_serialized_parameters_size",
    "export",
    "validate_model_outputs",
]

_HOMES = {
    "EXTERNAL_DATA_FORMAT_SIZE_LIMIT": "utils",
    "FeaturesManager": "features",
    "OnnxConfig": "config",
    "OnnxConfigWithPast": "config",
    "OnnxSeq2SeqConfigWithPast": "config",
    "ParameterFormat": "utils",
    "PatchingSpec": "patching",
    "compute_serialized_parameters_size": "utils",
    "check_onnxruntime_requirements": "convert",
    "compute_effective_axis_dimension": "utils",
    "ensure_model_and_config_inputs_match": "convert",
    "export": "convert",
    "export_pytorch": "convert",
    "get_preprocessor": "utils",
    "validate_model_outputs": "convert",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name, "models" if name.endswith("Config") else None)
    if home is None:
        from exporter.planning.instead import missing_name

        raise missing_name(__name__, name)
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
