"""Targets: one module each turns a loaded model and a planned graph into files.

Each has ``attention_of(plan)``, the attention implementation it records best (None for the model's own), and
``export_graph(model, graph, plan, directory)``, which writes one graph and returns the weights it uses. The files that go with a
checkpoint, ``config.json`` among them, are in the directory by then.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from exporter.diagnostics import ExportError
from exporter.targets import Settings, Target

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


def import_toolchain(target: Target, settings: Settings) -> None:
    """Import what a target is built with and this package does not bring, before any work is done for it.

    Raises:
        ExportError: something is not there, or is not what its name says.
    """
    for name in target.build_modules(settings):
        try:
            importlib.import_module(name)
        except Exception as error:
            # Whatever a package that is not the real one raises.
            lines = str(error).strip().splitlines() or [""]
            raise ExportError(
                f"the target {target.name} needs the package '{name}', which cannot be imported: {type(error).__name__}: {lines[0][:300]}",
                help=target.help,
            ) from error
