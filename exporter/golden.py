"""Golden vectors: inputs and PyTorch's outputs, kept in the artifact.

With them an artifact can be verified on a machine that has neither torch nor the checkpoint. The files follow the convention of
ONNX's own tests: ``test_data_set_<k>/input_<i>.pb`` and ``output_<i>.pb``, one set for each point of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporter.diagnostics import UsageError
from exporter.planning import GraphPlan, Plan, TensorPlan
from exporter.runtime import open_session
from exporter.verification import Array, Comparison, Report, check_structure, compare_outputs


def golden_directory(directory: Path, graph: GraphPlan) -> Path:
    """Return where a graph's vectors are: beside a lone ``model.onnx``, else in a folder named like the graph."""
    return directory if graph.component == "model" else directory / Path(graph.file).stem


def write_golden(
    directory: Path, index: int, graph: GraphPlan, inputs: Mapping[str, Array], outputs: Iterable[Array]
) -> None:
    """Write the inputs and expected outputs of one point of the plan."""
    folder = golden_directory(directory, graph) / f"test_data_set_{index}"
    folder.mkdir(parents=True)
    for role, tensors, arrays in (
        ("input", graph.inputs, [inputs[tensor.name] for tensor in graph.inputs]),
        ("output", graph.outputs, list(outputs)),
    ):
        for number, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
            proto = onnx.numpy_helper.from_array(np.ascontiguousarray(array), tensor.name)
            (folder / f"{role}_{number}.pb").write_bytes(proto.SerializeToString(deterministic=True))


def read_golden(directory: Path, index: int, graph: GraphPlan) -> tuple[dict[str, Array], list[Array]]:
    """Return the inputs by name and the expected outputs in graph order.

    Raises:
        UsageError: a vector is missing or damaged.
    """
    folder = golden_directory(directory, graph) / f"test_data_set_{index}"

    def read(role: str, tensors: tuple[TensorPlan, ...]) -> Iterator[Any]:
        for number in range(len(tensors)):
            path = folder / f"{role}_{number}.pb"
            try:
                yield onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
            except Exception as error:
                raise UsageError(
                    f"the golden vector {path.relative_to(directory)} cannot be read",
                    help="build the artifact again, or verify with --model",
                ) from error

    names = [tensor.name for tensor in graph.inputs]
    return dict(zip(names, read("input", graph.inputs), strict=True)), list(read("output", graph.outputs))


def verify_golden(directory: Path, plan: Plan, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Run every graph of an artifact on its golden vectors. Needs neither torch nor the checkpoint.

    Raises:
        UsageError: a vector is missing.
        ExportError: the runtime refuses a graph.
    """
    comparisons: list[Comparison] = []
    problems: list[str] = []
    runtime = ""
    for graph in plan.graphs:
        problems += check_structure(directory / graph.file, graph, plan)
        for file in plan.programs(graph):
            session = open_session(
                directory / file, plan.dtype, target=plan.target, settings=plan.settings, prepack=True
            )
            runtime = session.name
            for index, point in enumerate(plan.points):
                progress(f"{graph.component}, {point.name}")
                inputs, expected = read_golden(directory, index, graph)
                comparisons += compare_outputs(session, graph, plan, point, plan.seed, inputs, expected)
    return Report(runtime, plan.atol, plan.rtol, tuple(comparisons), tuple(problems))
