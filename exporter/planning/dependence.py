"""Which outputs of a graph depend on which of its inputs, by clearly more than the bound they are compared within.

Agreement with a model whose outputs do not change proves nothing: a graph that gives zeros would agree too. Nor does it
prove anything about an input that changes no output: a graph that drops the input would agree. So each input is changed
alone, and what the outputs make of it is measured in their bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from exporter.planning.dtypes import NUMPY_DTYPES, Array
from exporter.planning.dummies import fill_array
from exporter.planning.plan import Bound, GraphPlan, Point, TensorPlan
from exporter.planning.words import group_layers

Run = Callable[[Mapping[str, Array]], list[Array]]

# An output depends on an input where a change of the input moves it by more bounds than this. Within two bounds of each
# other, one and the same value would agree with both; bfloat16 has too few bits to ask for more.
CLEARLY = {"float32": 4.0, "float16": 4.0, "bfloat16": 2.0}


@dataclass(frozen=True, slots=True)
class Observed:
    """Inputs of a graph at a point, by name, and its outputs for them, in graph order."""

    point: Point
    inputs: Mapping[str, Array]
    outputs: list[Array]


def find_independent(run: Run, graph: GraphPlan, observed: Observed, bound: Bound, clearly: float) -> list[str]:
    """Return a line for each output that depends on no input, and for each input that no output depends on.

    Tensors of a cache that differ in their layer alone are changed together. An input that has a single value, or that
    the plan says is unused, is not changed.

    Args:
        run: computes the graph: a session, or the model.
        graph: the plan of the graph.
        observed: what it computes without a change.
        bound: how far a graph may be from its model.
        clearly: how many bounds a change has to be, as in `CLEARLY`.
    """
    moved = dict.fromkeys((tensor.name for tensor in graph.outputs), 0.0)
    idle: list[str] = []
    tried = False
    for name, group in group_layers(tensor for tensor in graph.inputs if tensor.unused is None).items():
        inputs = change_inputs(group, observed)
        if inputs is None:
            continue
        tried = True
        shares = _shares(run(inputs), observed.outputs, bound)
        moved = {output: max(before, share) for (output, before), share in zip(moved.items(), shares, strict=True)}
        if max(shares, default=0.0) <= clearly:
            idle.append(name)
    if not tried:
        return []
    constant = [output for output, share in moved.items() if share <= clearly]
    lines = [_about_output(graph, output, observed, moved[output]) for output in constant]
    if len(constant) < len(moved):
        lines += [f"{graph.component}: no output depends on '{name}'" for name in idle]
    return lines


def change_inputs(group: list[TensorPlan], observed: Observed) -> dict[str, Array] | None:
    """Return the inputs with other values for a group of them; None where the group can have no others."""
    changed = dict(observed.inputs)
    for tensor in group:
        changed[tensor.name] = _other_values(tensor, observed)
    differs = any(not np.array_equal(changed[tensor.name], observed.inputs[tensor.name]) for tensor in group)
    return changed if differs else None


def _other_values(tensor: TensorPlan, observed: Observed) -> Array:
    array = observed.inputs[tensor.name]
    fill = tensor.fill
    if fill is None or fill.name in ("ones", "zeros"):
        return array
    if fill.name == "arange":
        return array[..., ::-1].copy()
    if fill.name == "padding":
        other = np.ones_like(array)
        if array.all():
            other[..., : array.shape[-1] // 2] = 0
        return other
    # Drawn from another seed than any point is.
    rng = np.random.default_rng([*tensor.name.encode(), *observed.point.name.encode()])
    return fill_array(fill, array.shape, NUMPY_DTYPES[tensor.dtype], rng)


def _shares(outputs: list[Array], before: list[Array], bound: Bound) -> list[float]:
    """Return by how many bounds each output has moved, at most."""
    shares = []
    for output, reference in zip(outputs, before, strict=True):
        left, right = output.astype(np.float64), reference.astype(np.float64)
        if left.shape != right.shape:
            shares.append(np.inf)
            continue
        if left.size == 0:
            shares.append(0.0)
            continue
        if reference.dtype.kind in "biu":
            shares.append(0.0 if np.array_equal(left, right) else np.inf)
            continue
        scale = np.abs(right) if bound.rtol_of == "element" else np.abs(right).max()
        limit = bound.atol + bound.rtol * scale
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.where(left == right, 0.0, np.abs(left - right) / limit)
        shares.append(float(np.nanmax(share)))
    return shares


def _about_output(graph: GraphPlan, output: str, observed: Observed, share: float) -> str:
    values = observed.outputs[[tensor.name for tensor in graph.outputs].index(output)]
    subject = f"{graph.component}: '{output}'"
    if not values.any():
        return f"{subject} is zero, whatever the inputs"
    change = "not at all" if share == 0 else f"by {share:.1g} times its bound at most"
    return f"{subject} depends on no input: it changes {change} where they change"
