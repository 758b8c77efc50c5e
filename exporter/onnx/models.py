"""``<Name>OnnxConfig`` and ``<Name>Config`` of every architecture with a spec, as ``transformers.models`` had them.

No class is listed here. ``BertConfig`` is transformers' own class, and ``BertOnnxConfig`` is made when it is imported,
from the spec of the architecture whose config class has that name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.spec import WITH_PAST, Spec
from exporter.onnx.config import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast


@lru_cache
def describe_architecture(architecture: str) -> type[OnnxConfig]:
    """Return the class whose objects describe graphs of an architecture."""
    from exporter.models.configs import config_names

    name = config_names()[architecture].removesuffix("Config") + "OnnxConfig"
    about = {
        "architecture": architecture,
        "__module__": __name__,
        "__doc__": f"Graphs of the architecture '{architecture}'.",
    }
    return type(name, (_base_of(load_spec(architecture)),), about)


def _base_of(spec: Spec) -> type[OnnxConfig]:
    if not any(name.endswith(WITH_PAST) for name in spec.tasks):
        return OnnxConfig
    return OnnxSeq2SeqConfigWithPast if any(task.monolith for task in spec.tasks.values()) else OnnxConfigWithPast


def __getattr__(name: str) -> Any:
    from exporter.models.configs import config_class, config_names

    config = name.removesuffix("Config").removesuffix("Onnx") + "Config"
    known = {path.stem for path in list_specs()}
    named = (architecture for architecture, class_name in config_names().items() if class_name == config)
    architecture = next((architecture for architecture in named if architecture in known), None)
    if not name.endswith("Config") or architecture is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return describe_architecture(architecture) if name.endswith("OnnxConfig") else config_class(architecture)
