"""What a plan must know of a layout: where its graphs are, what their dims are called, and what it cannot hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from exporter.errors import UsageError
from exporter.language.spec import Spec, TaskSpec
from exporter.planning.plan import GraphPlan, Plan


def _hold_every_task(_: Spec, __: TaskSpec) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the graphs of a plan are laid out for the programs that load them.

    Attributes:
        name: the name of the layout.
        folder: the folder of the graphs below the artifact; empty for the artifact itself.
        dims: other names for symbolic dims: ``{"batch": "batch_size"}``.
        merged: a task of several graphs is written with one decoder for every step.
        targets: the kinds of file those programs load; None for any.
        refused: the dtypes those programs cannot use, each with the reason.
        refuse: raises `UsageError` for a task those programs cannot use.
    """

    name: str
    folder: str = ""
    dims: Mapping[str, str] = field(default_factory=dict)
    merged: bool = False
    targets: tuple[str, ...] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    refuse: Callable[[Spec, TaskSpec], None] = _hold_every_task

    def refuse_impossible(self, spec: Spec, task: TaskSpec, *, target: str, dtype: str) -> None:
        """Refuse what the layout cannot hold.

        Raises:
            UsageError: the programs that load the layout cannot use the target, the dtype or the task.
        """
        if self.targets is not None and target not in self.targets:
            raise UsageError(
                f"the layout {self.name} is one of {' and '.join(self.targets)} graphs, and the target is {target}",
                help="leave --layout out",
            )
        if dtype in self.refused:
            raise UsageError(
                f"the layout {self.name} cannot be had in {dtype}: {self.refused[dtype]}", help="leave --dtype out"
            )
        self.refuse(spec, task)

    def arrange(self, plan: Plan) -> Plan:
        """Return the plan with the files and the symbolic dims this layout calls for."""
        renamed = plan.renamed(self.dims) if self.dims else plan
        return dataclasses.replace(renamed, graphs=tuple(self._place(graph) for graph in renamed.graphs))

    def _place(self, graph: GraphPlan) -> GraphPlan:
        if not self.folder:
            return graph
        folder = PurePosixPath(self.folder)
        files = tuple((folder / file).as_posix() for file in graph.files)
        return dataclasses.replace(graph, file=(folder / graph.file).as_posix(), files=files)
