"""The model behind a plan; torch and transformers enter here.

``make_reference`` is imported when it is first used: commands that look at a checkpoint do without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.models.references import make_reference

__all__ = ["make_reference"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("exporter.models.references"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
