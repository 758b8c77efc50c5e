"""A plan: every graph, name, dtype, axis and size of one task of one model, spelled out.

A plan has no expressions and no branches left, and is JSON-serialisable. ``exporter plan`` prints it and a manifest
keeps it. What comes after planning (export, dummies, verification) reads the plan alone, each the part it needs.
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
    """The symbolic dim of an axis whose length is open: one dim, or a sum of dims and numbers.

    An axis is a string because its text is what the graph holds: ``Axis.of("past_sequence", "sequence")`` is
    ``"past_sequence + sequence"``.
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
        """Return the length of the axis: ``past + sequence`` at ``{past: 5, sequence: 6}`` is 11.

        Raises:
            KeyError: ``sizes`` lacks a dim of the axis.
        """
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

    Attributes:
        name: the name in the graph.
        dtype: the name of the dtype, as in `exporter.planning.dtypes`.
        shape: an integer for each static axis, an `Axis` for each dynamic one.
        path: for an input the ``forward()`` argument it is passed as (empty: the model is not given it), for an output
            the field it is read from; then the steps into it: ``("past_key_values", 0, "key")``.
        fill: how a dummy is made; None for an output.
        unused: the reason why the graph does not read an input.
        beyond: the dim that counts how much of an input the cache holds already. For an encoder's output it is
            ``past_encoder_sequence``: the graph reads the positions beyond that many, and computes their keys alone.
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
    """One graph: its tensors in order, the module behind it, and the files that hold it.

    Attributes:
        component: the part of the model: ``model``, ``encoder``, ``decoder``.
        file: the file of the graph.
        files: ``file``, and every file that holds the graph in another form, such as the program it was compiled to.
        module: the submodule that is recorded; None for the model itself.
        constants: arguments of ``forward()`` that are no tensors, with their values.
        built: tensors that are made inside the graph and passed to the module.
        inputs: the inputs, in order.
        outputs: the outputs, in order.
        ignored: the outputs of the module that the graph leaves out.
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
    """A size for every dynamic dim at once: what a graph is traced at, or verified at.

    ``all_padded`` says that masks are padded in every row, their first row too, so that a batch of one row has padding.
    ``blank_row`` says that the last row of a mask with several rows is nothing but padding.
    """

    name: str
    sizes: Mapping[str, int]
    all_padded: bool = False
    blank_row: bool = False

    def renamed(self, names: Mapping[str, str]) -> Point:
        """Return the point with other names for its dims."""
        return dataclasses.replace(self, sizes={names.get(name, name): size for name, size in self.sizes.items()})


@dataclass(frozen=True, slots=True)
class SpecFile:
    """The spec a plan was made from: the name of its file, and the SHA-256 of its text and its family's."""

    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class HeadStep:
    """A step on the way from hidden states to one embedding of each text.

    Attributes:
        kind: ``pooling``, ``dense``, ``layer-norm`` or ``normalize``.
        size: the length of an embedding behind the step.
        modes: how hidden states are pooled, such as ``mean``; the results of several modes are put side by side.
        activation: the class of ``torch.nn`` behind a dense step.
        bias: whether a dense step adds a bias.
        residual: whether a dense step adds its input, projected where it has another length.
        folder: the folder of the checkpoint that has the weights; None for a step without any.
    """

    kind: str
    size: int
    modes: tuple[str, ...] = ()
    activation: str | None = None
    bias: bool = True
    residual: bool = False
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The model behind the graphs: its class, and the config values its task sets.

    ``head`` is what the model is followed by; empty for a task that gives the model's own outputs.
    ``attention`` is the implementation of attention it is loaded with; None for that of transformers.
    ``is_reference`` says that it is the spec's tiny model, made with ``reference_config`` and ``reference_gain``, and
    no checkpoint.
    """

    architecture: str
    auto_class: str | None
    model_class: str | None
    dtype: str
    config: Mapping[str, Any]
    is_reference: bool
    reference_config: Mapping[str, Any]
    reference_gain: float
    head: tuple[HeadStep, ...] = ()
    attention: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """How the graphs are recorded and written. ``opset`` is None for a target whose files have no opset."""

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
    """How far a graph may be from its model: ``atol + rtol * |x|``, in the units of the output.

    With ``rtol_of`` as ``element``, ``x`` is each element of an output; as ``output``, the largest value of the output
    at a point. ``because`` is the reason for a loose bound; None where the bound needs none.
    """

    atol: float
    rtol: float
    rtol_of: str
    because: str | None


@dataclass(frozen=True, slots=True)
class SizePlan:
    """The sizes that graphs are traced, checked and probed at, and the seed of their dummies.

    ``fixed`` are dims that are dynamic in the spec and have one size here. ``probes`` are, for each dynamic dim, points
    that differ from the traced point in that dim (and those that follow from it) alone.
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
        """What is built: the architecture and the task."""
        return f"{self.model.architecture} {self.task}"

    @property
    def trace(self) -> Point:
        """The sizes the model is traced at."""
        return self.sizes.trace

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
