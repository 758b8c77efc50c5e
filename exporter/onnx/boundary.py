"""Give a planned graph the inputs and outputs that somebody declares by name: which, in what order, and what their open axes are called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from exporter.diagnostics import UsageError, did_you_mean
from exporter.planning import GraphPlan, Plan, Point, TensorPlan, axis_names

Axes = Mapping[str, Mapping[int, str]]


def closed_dims(plan: Plan, inputs: Axes) -> dict[str, int]:
    """Return the traced sizes of the dims of which some declared input leaves out an axis."""
    return {
        name: plan.trace.sizes[name]
        for tensor in plan.graphs[0].inputs
        if tensor.name in inputs
        for index, axis in tensor.dynamic_axes().items()
        if index not in inputs[tensor.name]
        for name in axis_names(axis)
    }


def name_dims(plan: Plan, inputs: Axes, outputs: Axes) -> dict[str, str]:
    """Return what the declared axes call the dims of a plan, where that is another name.

    Raises:
        UsageError: a tensor is not one of the graph's, an axis is not open, or a name would stand for two lengths.
    """
    graph = choose_tensors(plan.graphs[0], inputs, outputs)
    names: dict[str, str] = {}
    for tensors, declared in ((graph.inputs, inputs), (graph.outputs, outputs)):
        for tensor in tensors:
            for index, label in declared[tensor.name].items():
                _name_axis(tensor, index, label, names, plan.trace.sizes)
    return names


def choose_tensors(graph: GraphPlan, inputs: Axes, outputs: Axes) -> GraphPlan:
    """Return a graph with the declared tensors, in their order.

    Raises:
        UsageError: a tensor is not one of the graph's.
    """
    return replace(
        graph,
        inputs=tuple(_choose(graph, "input", graph.inputs, inputs)),
        outputs=tuple(_choose(graph, "output", graph.outputs, outputs)),
    )


def _choose(graph: GraphPlan, role: str, tensors: Iterable[TensorPlan], declared: Axes) -> Iterator[TensorPlan]:
    known = {tensor.name: tensor for tensor in tensors}
    for name in declared:
        if name not in known:
            raise UsageError(
                f"the graph '{graph.component}' has no {role} '{name}'",
                help=did_you_mean(name, known, otherwise=f"its {role}s are"),
            )
        yield known[name]


def _name_axis(tensor: TensorPlan, index: int, label: str, names: dict[str, str], dims: Collection[str]) -> None:
    """Note what the dims of one axis are called, where that is not what the plan calls them."""
    axis = tensor.shape[index] if index < len(tensor.shape) else None
    if not isinstance(axis, str):
        reason = "does not exist" if axis is None else f"has one length, {axis}"
        raise UsageError(f"the axis {index} of '{tensor.name}' {reason}", help=f"leave '{label}' out")
    old, new = axis.split(" + "), label.split(" + ")
    if len(old) != len(new):
        raise UsageError(f"the axis {index} of '{tensor.name}' is {axis} long, and '{label}' does not say so")
    for one, other in zip(old, new, strict=True):
        if one == other:
            continue
        is_taken = other in dims or any(given == other and name != one for name, given in names.items())
        if one.isdigit() or is_taken or names.setdefault(one, other) != other:
            raise UsageError(
                f"the axis {index} of '{tensor.name}' is {axis} long and cannot be called '{label}'",
                help="that name stands for another length, or that length has another name already",
            )


def rename_dims(plan: Plan, names: Mapping[str, str]) -> Plan:
    """Return a plan whose dims have other names."""

    def shape(tensors: tuple[TensorPlan, ...]) -> tuple[TensorPlan, ...]:
        return tuple(replace(tensor, shape=tuple(map(_renaming(names), tensor.shape))) for tensor in tensors)

    def points(given: Iterable[Point]) -> tuple[Point, ...]:
        return tuple(
            replace(point, sizes={names.get(name, name): size for name, size in point.sizes.items()}) for point in given
        )

    graphs = tuple(
        replace(graph, inputs=shape(graph.inputs), outputs=shape(graph.outputs), built=shape(graph.built))
        for graph in plan.graphs
    )
    probes = {names.get(name, name): points(group) for name, group in plan.probes.items()}
    return replace(plan, graphs=graphs, points=points(plan.points), probes=probes)


def _renaming(names: Mapping[str, str]) -> Callable[[int | str], int | str]:
    return lambda axis: (
        " + ".join(names.get(term, term) for term in axis.split(" + ")) if isinstance(axis, str) else axis
    )
