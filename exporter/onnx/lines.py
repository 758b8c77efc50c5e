"""The lines that the earlier system logged while it validated, from a report of this engine."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.verification.report import Comparison, Report


def validation_lines(report: Report) -> Iterator[str]:
    """Yield the lines for every graph of a report.

    The shape of an output is that at the traced sizes. A tick for values stands for every size, seed and session option
    that was compared.
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
    broken = next((comparison.problem for comparison in comparisons if comparison.problem is not None), None)
    if broken is not None:
        yield f"\t\t-[x] {broken}"
        return
    shape = comparisons[0].shape
    yield f"\t\t-[✓] {shape} matches {shape}"
    if all(comparison.passed for comparison in comparisons):
        yield f"\t\t-[✓] all values close (atol: {atol})"
    else:
        yield f"\t\t-[x] values not close enough (atol: {atol})"
