"""What a live model does at several sizes: which axes it leaves open, and what its outputs are like.

Nobody describes the model but its config class, which says what the axes are called. Everything else is measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from exporter.errors import ExportError, UsageError
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.models.oracle import run_model
from exporter.onnx.stand_ins import CACHE, Axes
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Axis, GraphPlan, Point, SizePlan, TensorPlan

logger = logging.getLogger(__name__)

# From the path of each tensor that a model returns to its dtype and shape.
Leaves = Mapping[str, tuple[str, tuple[int, ...]]]
# How many sizes of each dim a graph is compared at, beside the traced one.
_CHECKS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """A graph, and the sizes it was measured at."""

    graph: GraphPlan
    sizes: SizePlan


@dataclass(frozen=True, slots=True)
class _Run:
    sizes: Mapping[str, int]
    leaves: Leaves


def measure_graph(model: Any, graph: GraphPlan, traced: Mapping[str, int], outputs: Axes) -> Measured:
    """Return a graph with the declared outputs, and the sizes that its model takes.

    A dim whose other sizes the model refuses is closed, and a warning says so: the earlier system called the height of
    pictures dynamic where only one works. An axis of an output has the declared name where that is its length at all
    sizes, that of the dims it follows where the declaration is wrong, and one of its own otherwise.

    Args:
        model: the model, in evaluation mode.
        graph: its inputs.
        traced: the size of each dim of the inputs.
        outputs: the declared outputs, with the names of their open axes.

    Raises:
        ExportError: the model refuses the inputs.
        UsageError: it does not give a declared output.
    """
    graph, traced = _joined(model, graph, traced)
    run = _runner(model, graph)
    first = _Run(traced, run(traced))
    paths = {name: output_path(name) for name in outputs}
    lacking = [name for name, path in paths.items() if path not in first.leaves]
    if lacking:
        raise UsageError(
            f"the model returns no {', '.join(map(repr, lacking))}",
            help=f"it returns {', '.join(first.leaves)}: override outputs of the config class",
        )
    accepted = {dim: list(_accepted(run, traced, dim)) for dim in traced}
    closed = {dim: traced[dim] for dim, runs in accepted.items() if not runs}
    for dim, size in closed.items():
        logger.warning("the model takes no other '%s' than %d, so it is fixed", dim, size)
    opened = {dim: runs for dim, runs in accepted.items() if runs}
    checks = list(_checks(run, traced, opened))
    runs = [first, *(each for group in opened.values() for each in group), *checks]
    own: dict[str, list[int]] = {}
    tensors = tuple(_output(name, paths[name], outputs[name], runs, own) for name in outputs)
    measured = replace(
        graph,
        inputs=tuple(_close(tensor, closed) for tensor in graph.inputs),
        outputs=tensors,
        ignored=tuple(path for path in first.leaves if path not in paths.values()),
    )
    points = [
        Point(
            name, {**{dim: each.sizes[dim] for dim in opened}, **{dim: lengths[index] for dim, lengths in own.items()}}
        )
        for index, (name, each) in enumerate(zip(_names(len(runs) - len(checks), len(checks)), runs, strict=True))
        if index == 0 or index >= len(runs) - len(checks)
    ]
    if not checks:
        # Without a dim to vary, the traced sizes are compared once more, with other masks.
        points = [replace(points[0], all_padded=True), replace(points[0], name="check 1")]
    return Measured(measured, SizePlan(tuple(points), {}, closed, 0))


def _joined(model: Any, graph: GraphPlan, traced: Mapping[str, int]) -> tuple[GraphPlan, Mapping[str, int]]:
    """Return a graph and sizes in which dims that the model only takes with one length have one name.

    The keys of an encoder's states are as many as the states, whatever a declaration calls them.
    """
    run = _runner(model, graph)
    alone = [dim for dim in traced if next(_accepted(run, traced, dim), None) is None]
    names: dict[str, str] = {}
    for dim in alone:
        kept = next((other for other in alone[: alone.index(dim)] if traced[other] == traced[dim]), None)
        size = traced[dim] + 1
        if kept is not None and kept not in names and _attempt(run, {**traced, dim: size, kept: size}) is not None:
            logger.info("'%s' is as long as '%s', and called so", dim, kept)
            names[dim] = kept
    return graph.renamed(names), {dim: size for dim, size in traced.items() if dim not in names}


def output_path(name: str) -> str:
    """Return the field of the model's output that an output is read from."""
    return CACHE + name.removeprefix("present") if name.startswith("present.") else name


def _names(before: int, checks: int) -> Iterator[str]:
    yield "trace"
    yield from [""] * (before - 1)
    yield from (f"check {number + 1}" for number in range(checks))


def _runner(model: Any, graph: GraphPlan) -> Callable[[Mapping[str, int]], Leaves]:
    flat = FlatModel(model, graph).eval()

    def run(sizes: Mapping[str, int]) -> Leaves:
        inputs = tuple(map(to_torch, make_dummies(graph, Point("trace", sizes), 0).values()))
        leaves = run_model(flat.leaves, inputs, f"{type(model).__name__}")
        return {path: (str(leaf.dtype).removeprefix("torch."), tuple(leaf.shape)) for path, leaf in leaves.items()}

    return run


def _attempt(run: Callable[[Mapping[str, int]], Leaves], sizes: Mapping[str, int]) -> _Run | None:
    try:
        return _Run(sizes, run(sizes))
    except ExportError:
        return None


def _accepted(run: Callable[[Mapping[str, int]], Leaves], traced: Mapping[str, int], dim: str) -> Iterator[_Run]:
    """Yield runs with other sizes of a dim: those next to the traced one, and multiples of what models divide by."""
    size, count = traced[dim], 0
    for other in dict.fromkeys((size + 1, max(size - 1, 1), 2 * size, size + 32, max(size // 2, 1))):
        attempt = _attempt(run, {**traced, dim: other}) if other != size else None
        if attempt is not None:
            count += 1
            yield attempt
        if count == _CHECKS:
            return


def _checks(
    run: Callable[[Mapping[str, int]], Leaves], traced: Mapping[str, int], opened: Mapping[str, list[_Run]]
) -> Iterator[_Run]:
    """Yield runs with another size of every dim at once, or of each alone where the model does not take that."""
    together = []
    for index in range(max(map(len, opened.values()), default=0)):
        sizes = {**traced, **{dim: runs[index % len(runs)].sizes[dim] for dim, runs in opened.items()}}
        attempt = _attempt(run, sizes)
        if attempt is not None:
            together.append(attempt)
    if together:
        yield from together
    else:
        yield from (each for runs in opened.values() for each in runs)


def _close(tensor: TensorPlan, closed: Mapping[str, int]) -> TensorPlan:
    """Return an input with the sizes of closed dims in place of their names."""
    shape: list[int | Axis] = []
    for axis in tensor.shape:
        if isinstance(axis, int):
            shape.append(axis)
            continue
        terms = [str(closed.get(term, term)) for term in axis.terms]
        shape.append(sum(map(int, terms)) if all(term.isdigit() for term in terms) else Axis.of(*terms))
    return replace(tensor, shape=tuple(shape))


def _output(name: str, path: str, labels: Mapping[int, str], runs: list[_Run], own: dict[str, list[int]]) -> TensorPlan:
    dtype, shape = runs[0].leaves[path]
    if any(len(run.leaves[path][1]) != len(shape) for run in runs):
        raise UsageError(f"the output '{name}' has more axes at some sizes than at others", help="leave it out")
    axes = tuple(
        _axis(
            f"{name.replace('.', '_')}_{index}",
            labels.get(index),
            [run.leaves[path][1][index] for run in runs],
            runs,
            own,
        )
        for index in range(len(shape))
    )
    steps = tuple(int(step) if step.isdigit() else step for step in path.split("."))
    return TensorPlan(name, dtype, axes, steps)


def _axis(
    fallback: str, label: str | None, lengths: list[int], runs: list[_Run], own: dict[str, list[int]]
) -> int | Axis:
    if len(set(lengths)) == 1:
        return lengths[0]
    # A dim that is the same in all runs is closed.
    dims = [dim for dim, size in runs[0].sizes.items() if any(run.sizes[dim] != size for run in runs)]
    sums = [Axis.of(*pair) for pair in combinations(dims, 2)]
    rests = [Axis.of(dim, str(lengths[0] - runs[0].sizes[dim])) for dim in dims if lengths[0] > runs[0].sizes[dim]]
    for axis in (*([Axis(label)] if label else []), *map(Axis, dims), *sums, *rests):
        if all(term in dims or term.isdigit() for term in axis.terms) and lengths == [
            axis.size_at(run.sizes) for run in runs
        ]:
            return axis
    same = next((dim for dim, others in own.items() if others == lengths), None)
    chosen = same or (label if label and label not in dims and label not in own and "+" not in label else fallback)
    own[chosen] = lengths
    return Axis(chosen)
