"""A plan: every graph, name, dtype, axis and size of one task of one model, spelled out.

A plan has no expressions and no branches left and is JSON-serialisable; ``exporter plan`` prints it, a manifest keeps it, and everything
after planning (export, dummies, verification) reads nothing else, each the part it needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter import records

# What a setting of a target may be: a switch, a number, a text.
Setting = bool | int | str


class Axis(str):
    """The symbolic dim of an axis whose length is open: one dim, or a sum of dims and numbers (``past_sequence + sequence``).

    It is the text that stands in the graph, so it is a string.
    """

    __slots__ = ()

    @classmethod
    def of(cls, *terms: str) -> Axis:
        """Return the axis that is as long as its terms together."""
        return cls(" + ".join(terms))

    @property
    def terms(self) -> tuple[str, ...]:
        """The dims and numbers that are added up."""
        return tuple(self.split(" + "))

    @property
    def dims(self) -> tuple[str, ...]:
        """The dynamic dims the axis is made of, without the numbers."""
        return tuple(term for term in self.terms if not term.isdigit())

    def size_at(self, sizes: Mapping[str, int]) -> int:
        """Return its length: ``past_sequence + sequence`` at ``{past_sequence: 5, sequence: 6}`` is 11."""
        return sum(int(term) if term.isdigit() else sizes[term] for term in self.terms)

    def renamed(self, names: Mapping[str, str]) -> Axis:
        """Return the axis with other names for its dims."""
        return Axis.of(*(names.get(term, term) for term in self.terms))


@dataclass(frozen=True, slots=True)
class FillPlan:
    """How a dummy is made, with every dim replaced by its size."""

    name: str
    args: tuple[int | float | str, ...]
    ending: int | None = None


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One tensor of a graph.

    ``shape`` holds integers for static axes and an `Axis` for dynamic ones. ``path`` is the ``forward()`` argument an input is passed as
    (empty: the model is not given it), or the output field an output is read from. ``unused`` is why the graph does not read an input.
    ``beyond`` is for an input that the cache holds a part of, as it does of an encoder's output: the dim that counts that part.
    """

    name: str
    dtype: str
    shape: tuple[int | Axis, ...]
    path: tuple[int | str, ...]
    fill: FillPlan | None = None
    unused: str | None = None
    beyond: str | None = None

    def sizes_at(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the concrete shape at the given sizes of the dynamic dims."""
        return tuple(axis if isinstance(axis, int) else axis.size_at(sizes) for axis in self.shape)

    def dynamic_axes(self) -> dict[int, Axis]:
        """Return the symbolic dims by axis."""
        return {index: axis for index, axis in enumerate(self.shape) if isinstance(axis, Axis)}

    def dims(self) -> tuple[str, ...]:
        """Return the dynamic dims of its axes."""
        return tuple(dict.fromkeys(dim for axis in self.dynamic_axes().values() for dim in axis.dims))

    def renamed(self, names: Mapping[str, str]) -> TensorPlan:
        """Return the tensor with other names for its dims."""
        shape = tuple(axis if isinstance(axis, int) else axis.renamed(names) for axis in self.shape)
        beyond = str(Axis(self.beyond).renamed(names)) if self.beyond is not None else None
        return dataclasses.replace(self, shape=shape, beyond=beyond)


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """One graph: its tensors in order, how the module behind it is called, and the ``file`` that holds it.

    ``files`` are that file and whatever else holds the graph in another form, such as the program it was compiled to.
    """

    component: str
    file: str
    files: tuple[str, ...]
    module: str | None
    constants: Mapping[str, bool | int | float | str]
    built: tuple[TensorPlan, ...]
    inputs: tuple[TensorPlan, ...]
    outputs: tuple[TensorPlan, ...]
    ignored: tuple[str, ...]

    def renamed(self, names: Mapping[str, str]) -> GraphPlan:
        """Return the graph with other names for its dims."""
        return dataclasses.replace(
            self,
            built=tuple(tensor.renamed(names) for tensor in self.built),
            inputs=tuple(tensor.renamed(names) for tensor in self.inputs),
            outputs=tuple(tensor.renamed(names) for tensor in self.outputs),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """Sizes of all dynamic dims at once: the traced ones, or one set to verify at.

    ``all_padded``: masks are padded in every row, where there may be one row only.
    """

    name: str
    sizes: Mapping[str, int]
    all_padded: bool = False

    def renamed(self, names: Mapping[str, str]) -> Point:
        """Return the point with other names for its dims."""
        return dataclasses.replace(self, sizes={names.get(name, name): size for name, size in self.sizes.items()})


@dataclass(frozen=True, slots=True)
class SpecFile:
    """The spec a plan was made from: the name of its file, and the SHA-256 of its text and its family's."""

    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The model behind the graphs: its class, and the config values its task sets.

    ``is_reference`` says that it is the spec's tiny model, made with ``reference_config`` and ``reference_gain``, and no checkpoint.
    """

    architecture: str
    auto_class: str | None
    model_class: str | None
    dtype: str
    config: Mapping[str, Any]
    is_reference: bool
    reference_config: Mapping[str, Any]
    reference_gain: float


@dataclass(frozen=True, slots=True)
class Recording:
    """How the graphs are recorded and written. ``opset`` is None for a target that has none."""

    target: str
    layout: str
    settings: Mapping[str, Setting]
    opset: int | None
    tracer: str
    tracer_because: str | None
    patches: Mapping[str, str]
    weights: str


@dataclass(frozen=True, slots=True)
class Bound:
    """How far a graph may be from its model: ``atol + rtol * |x|``.

    ``x`` is each ``element`` of an output or, where ``rtol_of`` is ``output``, the largest value of that output at a point. ``because`` is
    the reason for a loose one.
    """

    atol: float
    rtol: float
    rtol_of: str
    because: str | None


@dataclass(frozen=True, slots=True)
class SizePlan:
    """The sizes that graphs are traced, checked and probed at, and the seed of their dummies.

    ``fixed`` are dims that are dynamic in the spec and have one size here. ``probes`` are, for each dynamic dim, points that differ from
    the traced one in that dim alone.
    """

    points: tuple[Point, ...]
    probes: Mapping[str, tuple[Point, ...]]
    fixed: Mapping[str, int]
    seed: int

    @property
    def trace(self) -> Point:
        """The sizes the model is traced at."""
        return self.points[0]

    def renamed(self, names: Mapping[str, str]) -> SizePlan:
        """Return the sizes with other names for the dims."""
        probes = {
            names.get(dim, dim): tuple(point.renamed(names) for point in group) for dim, group in self.probes.items()
        }
        return dataclasses.replace(
            self,
            points=tuple(point.renamed(names) for point in self.points),
            probes=probes,
            fixed={names.get(dim, dim): size for dim, size in self.fixed.items()},
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """One task of one model, concrete: the model, how it is recorded, the bound, the sizes, and the graphs."""

    task: str
    feature: str
    spec: SpecFile
    model: ModelPlan
    recording: Recording
    bound: Bound
    sizes: SizePlan
    graphs: tuple[GraphPlan, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """What is built: ``bert fill-mask``."""
        return f"{self.model.architecture} {self.task}"

    def renamed(self, names: Mapping[str, str]) -> Plan:
        """Return the plan with other names for its dims."""
        graphs = tuple(graph.renamed(names) for graph in self.graphs)
        return dataclasses.replace(self, graphs=graphs, sizes=self.sizes.renamed(names))

    def to_data(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable data."""
        data: dict[str, Any] = records.to_data(self)
        return data

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_data` was given.

        Raises:
            KeyError, TypeError, ValueError: the data is not that of a plan.
        """
        return records.from_data(Plan, data)
