"""Measure how far graphs are from their models, and say which bound that supports.

A bound is good when it is some way above the worst difference seen, so that another machine's rounding passes, and no
further: a bound of many times the difference would let a real fault through.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.building.pool import OnStage, Outcome, run_builds
from exporter.building.request import Given
from exporter.building.requests import plan_builds

# The bound to suggest, and the loosest one to keep, as multiples of the worst difference seen.
MARGIN, LOOSEST = 7.0, 10.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One task of one architecture in one dtype.

    ``worst`` is the largest ``|difference| / (1 + |reference|)`` over outputs, sizes and seeds: the smallest
    ``atol = rtol`` that holds. ``output``, ``magnitude`` and ``difference`` are of the comparison with this ``worst``.
    ``share`` is the largest difference as a share of the spec's bound. Where nothing could be compared the numbers are
    NaN, ``output`` is empty, and ``error`` says why.
    """

    architecture: str
    task: str
    worst: float
    share: float
    output: str
    magnitude: float
    difference: float
    error: str | None

    @property
    def suggested(self) -> float:
        """The bound the measurement supports, as ``atol`` and ``rtol`` alike."""
        return round_up(self.worst * MARGIN)

    @property
    def verdict(self) -> str:
        """Whether the spec's bound fits: ``good``, ``too tight``, ``too loose``, or ``unknown`` without comparisons."""
        if math.isnan(self.share):
            return "unknown"
        if self.share > 1:
            return "too tight"
        return "good" if self.share * LOOSEST >= 1 else "too loose"


def measure(names: Iterable[str], given: Given, on_stage: OnStage = lambda build, text: None) -> Iterator[Measurement]:
    """Build references into a place of no consequence and yield what verification measures.

    Args:
        names: specs, architectures, directories of specs or build files.
        given: tasks and options, as for a build.
        on_stage: told what is being done.
    """
    with tempfile.TemporaryDirectory(prefix="exporter-") as scratch:
        builds = plan_builds(names, {**given, "output": Path(scratch), "verify": True})
        for outcome in run_builds(builds, on_stage):
            yield measurement_of(outcome)


def measurement_of(outcome: Outcome) -> Measurement:
    """Return what verification measured in a build, which may have failed."""
    comparisons = outcome.report.comparisons if outcome.report is not None else ()
    finite = [comparison for comparison in comparisons if comparison.problem is None]
    worst = max(finite, key=lambda comparison: comparison.scaled, default=None)
    return Measurement(
        architecture=outcome.build.architecture,
        task=outcome.build.task,
        worst=worst.scaled if worst is not None else math.nan,
        share=max((comparison.share for comparison in finite), default=math.nan),
        output=worst.output if worst is not None else "",
        magnitude=worst.magnitude if worst is not None else math.nan,
        difference=worst.max_abs if worst is not None else math.nan,
        error=outcome.error.message if outcome.error is not None else None,
    )


def round_up(value: float) -> float:
    """Return the next larger number with one digit, or with two where the first is 1."""
    if not math.isfinite(value) or value <= 0:
        return 0.0
    step = 10.0 ** math.floor(math.log10(value))
    step /= 10 if value < 2 * step else 1
    return float(f"{math.ceil(round(value / step, 6)) * step:.1e}")
