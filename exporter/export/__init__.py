"""Targets: one module each turns a loaded model and a planned graph into files.

Each has ``attention_of(plan)``, the attention implementation it records best (None for the model's own), and
``export_graph(model, graph, plan, directory)``, which writes one graph and returns the weights it uses.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import torch

    from exporter.planning import GraphPlan, Plan


class Exporter(Protocol):
    """The module of a target."""

    def attention_of(self, plan: Plan) -> str | None:
        """Return the attention implementation to record, or None for the model's own."""

    def export_graph(self, model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[torch.Tensor]:
        """Write one graph of a model to ``directory`` and return the weights it uses."""


def load_exporter(target: str) -> Exporter:
    """Return the module of a target."""
    return cast("Exporter", importlib.import_module(f"exporter.export.{target.replace('-', '_')}"))
