"""The lines that the earlier system logged while it validated, from a report of this engine."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.verification.report import Comparison, Report


def validation_lines(report: Report) -> Iterator[str]:
    """Yield the lines for every graph of a report.

    The earlier system compared at one size. Here the shape of an output is that at the sizes the graph was traced at,
    and a tick for its values stands for all sizes and seeds that were compared.
    """
    graphs: dict[str, dict[str, list[Comparison]]] = {}
    for comparison in report.comparisons:
        graphs.setdefault(comparison.graph, {}).setdefault(comparison.output, []).append(comparison)
    for outputs in graphs.values():
        yield "Validating ONNX model..."
        if not report.problems:
            names = ", ".join(map(repr, outputs))
            yield f"\t-[✓] ONNX model output names match reference model ({{{names}}})"
        for name, comparisons in outputs.items():
            yield f'\t- Validating ONNX Model output "{name}":'
            yield from _output_lines(comparisons, report.atol)
    for problem in report.problems:
        yield f"\t-[x] {problem}"


def _output_lines(comparisons: list[Comparison], atol: float) -> Iterator[str]:
    problem = next((comparison.problem for comparison in comparisons if comparison.problem is not None), None)
    if problem is not None:
        yield f"\t\t-[x] {problem}"
        return
    shape = comparisons[0].shape
    yield f"\t\t-[✓] {shape} matches {shape}"
    if all(comparison.passed for comparison in comparisons):
        yield f"\t\t-[✓] all values close (atol: {atol})"
    else:
        yield f"\t\t-[x] values not close enough (atol: {atol})"
