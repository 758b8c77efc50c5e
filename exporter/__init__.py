"""Turn Hugging Face Transformers checkpoints into verified graphs, one YAML spec per architecture.

The names below are imported when they are first used, so that ``import exporter`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.api import BuildResult, ExportConfig, build, lint, plan, verify
    from exporter.errors import CheckpointError, EngineError, ExporterError, ExportError, UsageError
    from exporter.language.diagnostics import SpecError
    from exporter.language.loading import load_spec
    from exporter.verification.report import VerificationError

    __version__: str

__all__ = [
    "BuildResult",
    "CheckpointError",
    "EngineError",
    "ExportConfig",
    "ExportError",
    "ExporterError",
    "SpecError",
    "UsageError",
    "VerificationError",
    "build",
    "lint",
    "load_spec",
    "plan",
    "verify",
]

# Where a public name is defined, if not in exporter.api.
_HOMES = {
    "load_spec": "exporter.language.loading",
    "SpecError": "exporter.language.diagnostics",
    "VerificationError": "exporter.verification.report",
    **dict.fromkeys(
        ("CheckpointError", "EngineError", "ExportError", "ExporterError", "UsageError"), "exporter.errors"
    ),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("exporter.versions").installed_version()
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "exporter.api")), name)
    raise AttributeError(f"module 'exporter' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
