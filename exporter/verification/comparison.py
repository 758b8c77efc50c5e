"""Compare the outputs of a graph with those of its model.

The bound on each element is ``atol + rtol * |reference|``, where the reference is that element or, for a checkpoint,
the largest value of the output (see `Bound`). All measurements are taken; the verdict is separate. No torch is needed:
what a model gives comes in a `Sample`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.errors import first_line
from exporter.planning.dtypes import NUMPY_DTYPES, Array
from exporter.planning.plan import Bound, GraphPlan, Point, TensorPlan
from exporter.planning.target import Session
from exporter.verification.report import Comparison

# An output whose largest value is less than this many times the absolute bound says nothing about the graph. With the 8
# bits of bfloat16 a few layers leave an honest error of up to a twenty-fifth of the largest value.
FEEBLE_FACTORS = {"float32": 100, "float16": 100, "bfloat16": 12}


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs of a graph by name, at one point and from one seed, and what its model gives for them, in graph order."""

    point: Point
    seed: int
    inputs: Mapping[str, Array]
    expected: list[Array]


def compare_outputs(session: Session, graph: GraphPlan, sample: Sample, bound: Bound) -> Iterator[Comparison]:
    """Run a session once and yield a comparison for every output."""
    actual, failure = _run(session, sample.inputs)
    for index, tensor in enumerate(graph.outputs):
        planned = tensor.sizes_at(sample.point.sizes)
        base = Comparison(
            graph.component, tensor.name, sample.point.name, dict(sample.point.sizes), sample.seed, planned
        )
        if failure is not None:
            yield dataclasses.replace(base, problem=failure)
        elif index >= len(actual):
            yield dataclasses.replace(base, problem=f"the graph gives {len(actual)} outputs only")
        else:
            yield compare_arrays(actual[index], sample.expected[index], tensor, base, bound)


def compare_arrays(
    actual: Array, expected: Array, tensor: TensorPlan, unmeasured: Comparison, bound: Bound
) -> Comparison:
    """Measure one output against its reference, element by element, in float64.

    Args:
        actual: what the graph gives.
        expected: what the model gives.
        tensor: what was planned.
        unmeasured: the comparison to fill in, whose ``shape`` is the planned one.
        bound: how far they may be apart.
    """
    shape = tuple(actual.shape)
    base = dataclasses.replace(unmeasured, shape=shape)
    if not shape == tuple(expected.shape) == unmeasured.shape:
        declared = list(unmeasured.shape)
        return dataclasses.replace(
            base, problem=f"the shape is {list(shape)}, PyTorch's {list(expected.shape)}, declared {declared}"
        )
    dtype = NUMPY_DTYPES[tensor.dtype]
    if actual.dtype != dtype or expected.dtype != dtype:
        return dataclasses.replace(
            base, problem=f"the dtype is {actual.dtype}, PyTorch's {expected.dtype}, declared {tensor.dtype}"
        )
    if actual.size == 0:
        return base
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        side = "the graph" if np.isfinite(right).all() else "PyTorch"
        return dataclasses.replace(base, problem=f"{side} gives values that are not finite")
    exact = actual.dtype.kind in "biu"
    difference = np.abs(left - right)
    scale = np.abs(right) if bound.rtol_of == "element" else np.full_like(right, np.abs(right).max())
    limit = np.zeros_like(right) if exact else bound.atol + bound.rtol * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(difference == 0, 0.0, difference / limit)
        relative = np.where(difference == 0, 0.0, difference / np.abs(right))
    at = np.unravel_index(int(np.argmax(share)), shape)
    finite = relative[np.isfinite(relative)]
    return dataclasses.replace(
        base,
        max_abs=float(difference.max()),
        max_rel=float(finite.max()) if finite.size else 0.0,
        share=float(share[at]),
        scaled=float((difference / (1 + np.abs(right))).max()),
        outside=int((difference > limit).sum()),
        magnitude=float(np.abs(right).max()),
        where=tuple(int(index) for index in at),
    )


def _run(session: Session, inputs: Mapping[str, Array]) -> tuple[list[Array], str | None]:
    try:
        # What a runtime gives is known from its file alone: a list where the graph has a sequence, None for no value.
        outputs: list[Any] = session.run(inputs)
    except Exception as error:
        return [], f"the runtime fails: {first_line(error)}"
    other = next((type(output).__name__ for output in outputs if not isinstance(output, np.ndarray)), None)
    return ([], f"the graph gives a {other} where a tensor is planned") if other is not None else (outputs, None)


def feeble_outputs(comparisons: Iterable[Comparison], atol: float, dtype: str) -> list[str]:
    """Return a line for each output whose largest reference value is lost in its own bound.

    Near-zeros agree whatever the graph computes, so such a comparison proves nothing.

    Args:
        comparisons: those at the traced sizes are looked at.
        atol: the absolute part of the bound.
        dtype: the dtype the graph is as exact as.
    """
    least = FEEBLE_FACTORS[dtype] * atol
    largest: dict[tuple[str, str], float] = {}
    for comparison in comparisons:
        if comparison.problem is None and comparison.point == "trace":
            key = (comparison.graph, comparison.output)
            largest[key] = max(largest.get(key, 0.0), comparison.magnitude)
    return [
        f"{graph}: '{output}' is feeble: its largest value is {value:.2e}, below {least:.2e}, "
        f"where agreement within {atol:.0e} proves nothing"
        for (graph, output), value in largest.items()
        if value < least
    ]
