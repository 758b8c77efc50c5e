"""Turn Hugging Face Transformers checkpoints into verified graphs, one YAML spec per architecture.

The names below are imported when they are first used, so that ``import exporter`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.api import BuildResult, ExportConfig, build, lint, plan, verify
    from exporter.errors import ExporterError
    from exporter.language.loading import load_spec

__version__ = "0.1.0"
__all__ = ["BuildResult", "ExportConfig", "ExporterError", "build", "lint", "load_spec", "plan", "verify"]

_HOMES = {"load_spec": "exporter.language.loading", "ExporterError": "exporter.errors"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "exporter.api")), name)
    raise AttributeError(f"module 'exporter' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
