"""Give a planned graph the inputs and outputs that a subclass of ``OnnxConfig`` declares.

A declaration names the tensors, in order, and each open axis of theirs: ``{"input_ids": {0: "rows", 1: "length"}}``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from exporter.errors import UsageError, did_you_mean
from exporter.planning.plan import Axis, GraphPlan, Plan, TensorPlan

Axes = Mapping[str, Mapping[int, str]]


def closed_dims(plan: Plan, inputs: Axes) -> dict[str, int]:
    """Return the dims that a declaration closes, with their traced sizes.

    A declared input closes the dims of every axis it leaves out: ``{"input_ids": {0: "batch"}}`` leaves out axis 1,
    and so closes ``sequence``. An input that is not declared closes nothing.
    """
    return {
        name: plan.sizes.trace.sizes[name]
        for tensor in plan.graphs[0].inputs
        if tensor.name in inputs
        for index, axis in tensor.dynamic_axes().items()
        if index not in inputs[tensor.name]
        for name in axis.dims
    }


def name_dims(plan: Plan, inputs: Axes, outputs: Axes) -> dict[str, str]:
    """Return the dims of a plan that a declaration calls otherwise, each with its new name.

    Where ``input_ids`` is declared as ``{0: "rows", 1: "sequence"}`` that is ``{"batch": "rows"}``.

    Raises:
        UsageError: a tensor is not one of the graph's, an axis is not open, or a name would stand for two lengths.
    """
    graph = choose_tensors(plan.graphs[0], inputs, outputs)
    names: dict[str, str] = {}
    for tensors, declared in ((graph.inputs, inputs), (graph.outputs, outputs)):
        for tensor in tensors:
            for index, label in declared[tensor.name].items():
                _name_axis(tensor, index, label, names, plan.sizes.trace.sizes)
    return names


def choose_tensors(graph: GraphPlan, inputs: Axes, outputs: Axes) -> GraphPlan:
    """Return a graph with the declared tensors alone, in the order of the declaration.

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
    """Add to ``names`` the dims of an axis that a declaration calls otherwise.

    Args:
        tensor: the planned tensor.
        index: the axis.
        label: the declared name of the axis: one dim, or a sum of as many as the plan has, as in ``past + new``.
        names: the new names of dims so far, which every axis must agree with.
        dims: all dims of the plan, whose names cannot be given to others.
    """
    axis = tensor.shape[index] if index < len(tensor.shape) else None
    if not isinstance(axis, Axis):
        reason = "does not exist" if axis is None else f"has one length, {axis}"
        raise UsageError(f"the axis {index} of '{tensor.name}' {reason}", help=f"leave '{label}' out")
    old, new = axis.terms, Axis(label).terms
    if len(old) != len(new):
        raise UsageError(f"the axis {index} of '{tensor.name}' is {axis} long, and '{label}' does not say so")
    for term, new_term in zip(old, new, strict=True):
        if term == new_term:
            continue
        is_taken = new_term in dims or any(name == new_term and dim != term for dim, name in names.items())
        if term.isdigit() or is_taken or names.setdefault(term, new_term) != new_term:
            raise UsageError(
                f"the axis {index} of '{tensor.name}' is {axis} long and cannot be called '{label}'",
                help="that name stands for another length, or that length has another name already",
            )
