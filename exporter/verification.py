"""Judge an artifact: its structure against the plan, its numbers against PyTorch's.

Numbers are compared at the traced sizes and at every check size; the bound on each element is ``atol + rtol * |reference|``,
where the reference is that element or, for a checkpoint, the largest value of the output (see `Plan`).
All measurements are taken; the verdict is separate. This module needs no torch: the reference values come from a
callable (a model beside it) or from the golden vectors in the artifact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter.dummies import NUMPY_DTYPES, make_dummies
from exporter.planning import EMBEDDED_LIMIT, GraphPlan, Plan, Point, TensorPlan
from exporter.runtime import OnnxRuntimeSession, Session, open_session
from exporter.signature import signature_problems
from exporter.targets import find_target

Array = np.ndarray[Any, Any]
Oracle = Callable[[Mapping[str, Array]], list[Array]]

# An output whose largest value is less than this many bounds says nothing about the graph. With the 8 bits of bfloat16 a
# few layers leave an honest error of up to a twenty-fifth of the largest value.
FEEBLE_FACTORS = {"float32": 100, "float16": 100, "bfloat16": 12}
_ORT_TYPES = {
    "float32": "tensor(float)", "float16": "tensor(float16)", "bfloat16": "tensor(bfloat16)", "float64": "tensor(double)",
    "int8": "tensor(int8)", "uint8": "tensor(uint8)", "int32": "tensor(int32)", "int64": "tensor(int64)",
    "bool": "tensor(bool)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output at one point, in the units of the output.

    ``share`` is the largest difference as a share of its bound: above 1 the comparison fails. ``scaled`` is the largest difference
    divided by ``1 + |reference|``: the smallest ``atol = rtol`` that holds. ``problem`` is what else is wrong: a
    wrong shape, values that are not finite, or a reference too small to prove anything.
    """

    graph: str
    output: str
    point: str
    sizes: Mapping[str, int]
    seed: int
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    share: float
    outside: int
    magnitude: float
    where: tuple[int, ...]
    problem: str | None = None
    scaled: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every element is within its bound and nothing else is wrong."""
        return self.problem is None and self.share <= 1


@dataclass(frozen=True, slots=True)
class Report:
    """What verification measured, and the verdict."""

    runtime: str
    atol: float
    rtol: float
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the structure is as planned and every comparison holds."""
        return not self.problems and all(comparison.passed for comparison in self.comparisons)

    def worst(self) -> dict[tuple[str, str], Comparison]:
        """Return the comparison nearest to its bound (or worst beyond it) for each graph and output."""
        worst: dict[tuple[str, str], Comparison] = {}
        for comparison in self.comparisons:
            key = (comparison.graph, comparison.output)
            if key not in worst or _badness(comparison) > _badness(worst[key]):
                worst[key] = comparison
        return worst

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable data."""
        return {**dataclasses.asdict(self), "passed": self.passed}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Report:
        """Return the report that `to_data` was given."""
        comparisons = tuple(
            Comparison(**{**item, "shape": tuple(item["shape"]), "where": tuple(item["where"])})
            for item in data["comparisons"]
        )
        return Report(data["runtime"], data["atol"], data["rtol"], comparisons, tuple(data["problems"]))

    def failures(self) -> list[str]:
        """Return what failed in the terms of the model, worst first, one line each."""
        lines = list(self.problems)
        failed = [comparison for comparison in self.comparisons if not comparison.passed]
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for comparison in sorted(failed, key=_badness, reverse=True):
            groups.setdefault((comparison.graph, comparison.output), []).append(comparison)
        for (graph, output), group in groups.items():
            lines.append(self._describe(graph, output, group))
        return lines

    def _describe(self, graph: str, output: str, failed: list[Comparison]) -> str:
        worst = failed[0]
        sizes = ", ".join(f"{name} {size}" for name, size in worst.sizes.items())
        if worst.problem is not None:
            return f"{graph}: '{output}' at {sizes}: {worst.problem}"
        measured = (
            f"{graph}: '{output}' differs by {worst.max_abs:.2e} ({worst.share:.3g} times its bound) at {list(worst.where)}, "
            f"{worst.outside} of {int(np.prod(worst.shape))} elements outside, at {sizes}"
        )
        good = {
            comparison.point
            for comparison in self.comparisons
            if comparison.output == output and comparison.graph == graph
        }
        good -= {comparison.point for comparison in failed}
        if good == {"trace"}:
            return f"{measured}; it passes at the traced sizes only: an axis was baked in"
        return f"{measured}; it passes at {', '.join(sorted(good))}" if good else f"{measured}; it passes nowhere"


def _badness(comparison: Comparison) -> float:
    return float("inf") if comparison.problem is not None else comparison.share


def compare_arrays(
    actual: Array, expected: Array, tensor: TensorPlan, graph: str, point: Point, seed: int, plan: Plan
) -> Comparison:
    """Measure one output against its reference, element by element, in float64."""
    shape = tuple(actual.shape)
    planned = tensor.sizes_at(point.sizes)
    base = Comparison(graph, tensor.name, point.name, dict(point.sizes), seed, shape, 0.0, 0.0, 0.0, 0, 0.0, ())
    if not shape == tuple(expected.shape) == planned:
        return dataclasses.replace(
            base, problem=f"the shape is {list(shape)}, PyTorch's {list(expected.shape)}, declared {list(planned)}"
        )
    wanted = NUMPY_DTYPES[tensor.dtype]
    if actual.dtype != wanted or expected.dtype != wanted:
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
    scale = np.abs(right) if plan.rtol_of == "element" else np.full_like(right, np.abs(right).max())
    bound = np.zeros_like(right) if exact else plan.atol + plan.rtol * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(difference == 0, 0.0, difference / bound)
        relative = np.where(difference == 0, 0.0, difference / np.abs(right))
    at = np.unravel_index(int(np.argmax(share)), shape)
    finite = relative[np.isfinite(relative)]
    magnitude = float(np.abs(right).max())
    return dataclasses.replace(
        base, max_abs=float(difference.max()), max_rel=float(finite.max()) if finite.size else 0.0,
        share=float(share[at]), scaled=float((difference / (1 + np.abs(right))).max()), outside=int((difference > bound).sum()), magnitude=magnitude,
        where=tuple(int(index) for index in at),
    )  # fmt: skip


def verify_graph(
    path: Path, graph: GraphPlan, plan: Plan, oracle: Oracle, progress: Callable[[str], None] = lambda _: None
) -> tuple[str, list[Comparison]]:
    """Run a graph beside its model at every point of the plan, with two seeds.

    The first session maps external weights as they are; a second one, in the configuration a user gets, repeats the
    traced sizes. That one holds a private copy of every weight, so weights too large for one file are left to the first.

    Returns:
        The name of the runtime, and every comparison.
    """
    session = open_session(path, plan.dtype, target=plan.target, settings=plan.settings)
    comparisons: list[Comparison] = []
    for point in plan.points:
        progress(
            f"{graph.component} at {', '.join(f'{name} {size}' for name, size in point.sizes.items()) or 'its one size'}"
        )
        for seed in (plan.seed, plan.seed + 1):
            inputs = make_dummies(graph, point, seed)
            comparisons += compare_outputs(session, graph, plan, point, seed, inputs, oracle(inputs))
    name = session.name
    if isinstance(session, OnnxRuntimeSession) and _weight_bytes(path) < EMBEDDED_LIMIT:
        del session
        default = open_session(path, plan.dtype, target=plan.target, settings=plan.settings, prepack=True)
        inputs = make_dummies(graph, plan.trace, plan.seed)
        comparisons += compare_outputs(default, graph, plan, plan.trace, plan.seed, inputs, oracle(inputs))
    return name, comparisons


def _weight_bytes(path: Path) -> int:
    data = path.with_name(f"{path.name}_data")
    return data.stat().st_size if data.is_file() else path.stat().st_size


def compare_outputs(
    session: Session,
    graph: GraphPlan,
    plan: Plan,
    point: Point,
    seed: int,
    inputs: Mapping[str, Array],
    expected: list[Array],
) -> Iterator[Comparison]:
    """Run a session once and yield a comparison for every output."""
    actual, failure = _run(session, inputs)
    for index, tensor in enumerate(graph.outputs):
        if failure is not None:
            shape = tensor.sizes_at(point.sizes)
            yield Comparison(
                graph.component,
                tensor.name,
                point.name,
                dict(point.sizes),
                seed,
                shape,
                0.0,
                0.0,
                0.0,
                0,
                0.0,
                (),
                failure,
            )
        else:
            yield compare_arrays(actual[index], expected[index], tensor, graph.component, point, seed, plan)


def _run(session: Session, inputs: Mapping[str, Array]) -> tuple[list[Array], str | None]:
    try:
        return session.run(inputs), None
    except Exception as error:
        return [], f"the runtime fails: {str(error).strip().splitlines()[0][:300]}"


def feeble_outputs(comparisons: Iterable[Comparison], plan: Plan) -> list[str]:
    """Return a line for each output whose largest reference value is lost in its own bound.

    Near-zeros agree whatever the graph computes, so such a comparison proves nothing.
    """
    computed = find_target(plan.target).computed_dtype(plan.settings, plan.dtype)
    least = FEEBLE_FACTORS[computed] * plan.atol
    largest: dict[tuple[str, str], float] = {}
    for comparison in comparisons:
        if comparison.problem is None and comparison.point == "trace":
            key = (comparison.graph, comparison.output)
            largest[key] = max(largest.get(key, 0.0), comparison.magnitude)
    return [
        f"{graph}: '{output}' is feeble: its largest value is {value:.2e}, below {least:.2e}, where agreement within {plan.atol:.0e} proves nothing"
        for (graph, output), value in largest.items()
        if value < least
    ]


def check_structure(path: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    """Return what the written file has other than planned: names, order, dtypes, symbolic dims, opset.

    What a torch program holds nobody can read; of one it is the sidecar that is judged.
    """
    if not find_target(plan.target).has_opset:
        return signature_problems(path.parent, graph, plan)
    import onnx

    problems: list[str] = []
    # Embedded weights above this are not worth parsing a second time; the runtime has read the file.
    if path.stat().st_size < 1 << 28:
        try:
            onnx.checker.check_model(str(path), full_check=True)
        except Exception as error:
            problems.append(f"{path.name} does not pass onnx.checker: {str(error).splitlines()[0][:300]}")
        proto = onnx.load(str(path), load_external_data=False)
        opset = next((entry.version for entry in proto.opset_import if entry.domain == ""), None)
        if opset != plan.opset:
            problems.append(f"{path.name} has opset {opset}, and {plan.opset} was asked for")
        problems += _external_problems(proto, path)
        for role, values, tensors in (
            ("input", proto.graph.input, graph.inputs),
            ("output", proto.graph.output, graph.outputs),
        ):
            problems += _signature_problems(path.name, role, values, tensors)
    return problems


def _external_problems(proto: Any, path: Path) -> Iterator[str]:
    """The checker passes a length beyond the end of the data file; a runtime would crash on it."""
    for tensor in proto.graph.initializer:
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entry = {item.key: item.value for item in tensor.external_data}
        data = path.parent / entry.get("location", "")
        end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
        if not data.is_file() or data.parent != path.parent:
            yield f"{path.name}: the data of '{tensor.name}' is in '{entry.get('location')}', which is not beside it"
        elif end > data.stat().st_size:
            yield f"{path.name}: the data of '{tensor.name}' ends beyond {data.name}"


def _signature_problems(file: str, role: str, values: Any, tensors: tuple[TensorPlan, ...]) -> Iterator[str]:
    import onnx

    found = [value.name for value in values]
    planned = [tensor.name for tensor in tensors]
    if found != planned:
        yield f"{file}: its {role}s are {', '.join(found)}; planned {', '.join(planned)}"
        return
    for value, tensor in zip(values, tensors, strict=True):
        shape = tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if shape != tensor.shape:
            yield f"{file}: the {role} '{tensor.name}' has shape {list(shape)}; planned {list(tensor.shape)}"
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype != NUMPY_DTYPES[tensor.dtype]:
            yield f"{file}: the {role} '{tensor.name}' is {dtype}; planned {tensor.dtype}"
