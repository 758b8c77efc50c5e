"""What a layout is, and how it arranges a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from exporter.diagnostics import UsageError

if TYPE_CHECKING:
    from exporter.checkpoints import Checkpoint
    from exporter.planning import GraphPlan, Plan, Point, TensorPlan
    from exporter.spec import Spec, TaskSpec


def _nothing_to_refuse(_: Spec, __: TaskSpec) -> None:
    """Hold every task."""


def _nothing_to_check(_: Checkpoint | None, __: TaskSpec) -> None:
    """Ask nothing of the checkpoint."""


def _nothing_to_add(_: Path, __: Plan, ___: Checkpoint, ____: Any) -> None:
    """Leave the files as they are."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay an artifact out.

    ``folder`` is where the graphs are. ``refused`` are the dtypes its consumers cannot use, with the reasons. ``merged`` wants one decoder for every step. ``dims`` are other names for symbolic dims. Three functions do the rest:
    ``refuse`` raises for a task the layout cannot hold, ``check`` for a checkpoint (None: a reference) without the files it needs, and
    ``finish`` adds its own files to a directory, from the plan, the checkpoint and the model's config.
    """

    name: str
    description: str
    folder: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    merged: bool = False
    dims: Mapping[str, str] = field(default_factory=dict)
    refuse: Callable[[Spec, TaskSpec], None] = _nothing_to_refuse
    check: Callable[[Checkpoint | None, TaskSpec], None] = _nothing_to_check
    finish: Callable[[Path, Plan, Checkpoint, Any], None] = _nothing_to_add

    def refuse_impossible(self, spec: Spec, task: TaskSpec, *, target: str, dtype: str) -> None:
        """Refuse what the layout cannot hold.

        Raises:
            UsageError: another target than ONNX, a dtype its consumers cannot use, or a task they cannot use.
        """
        if self.name != "flat" and target != "onnx":
            raise UsageError(
                f"the layout {self.name} is one of ONNX graphs, and the target is {target}", help="leave --layout out"
            )
        if dtype in self.refused:
            raise UsageError(
                f"the layout {self.name} cannot be had in {dtype}: {self.refused[dtype]}", help="leave --dtype out"
            )
        self.refuse(spec, task)

    def arrange(self, plan: Plan) -> Plan:
        """Return the plan with the files and the symbolic dims this layout calls for."""
        return dataclasses.replace(
            plan,
            graphs=tuple(self._arrange_graph(graph) for graph in plan.graphs),
            points=tuple(self._rename_point(point) for point in plan.points),
        )

    def _arrange_graph(self, graph: GraphPlan) -> GraphPlan:
        return dataclasses.replace(
            graph,
            file=(PurePosixPath(self.folder) / graph.file).as_posix(),
            built=tuple(map(self._rename_axes, graph.built)),
            inputs=tuple(map(self._rename_axes, graph.inputs)),
            outputs=tuple(map(self._rename_axes, graph.outputs)),
        )

    def _rename_axes(self, tensor: TensorPlan) -> TensorPlan:
        beyond = self._rename(tensor.beyond) if tensor.beyond is not None else None
        shape = tuple(axis if isinstance(axis, int) else self._rename(axis) for axis in tensor.shape)
        return dataclasses.replace(tensor, shape=shape, beyond=beyond)

    def _rename_point(self, point: Point) -> Point:
        return dataclasses.replace(point, sizes={self._rename(name): size for name, size in point.sizes.items()})

    def _rename(self, axis: str) -> str:
        return " + ".join(self.dims.get(term, term) for term in axis.split(" + "))
