"""Measure how far graphs are from their models, and suggest a bound.

A good bound is a few times the worst difference seen: another machine rounds differently and has to pass. A bound of
many times the worst difference would let a real fault pass too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from exporter.artifacts.claims import scratch_directory
from exporter.building.pool import OnStage, Outcome, run_builds
from exporter.building.request import Given
from exporter.building.requests import Build, plan_builds

# As multiples of the worst difference seen: the bound that is suggested, and the loosest bound that is called good.
MARGIN, LOOSEST = 7.0, 10.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """How far the graphs of one task are from their model. Where nothing could be compared, the numbers are NaN.

    Attributes:
        architecture: the architecture.
        task: the task.
        worst: the largest ``|difference| / (1 + |reference|)`` over outputs, sizes and seeds: the smallest
            ``atol = rtol`` that holds.
        share: the largest difference as a share of its bound: at 1.2 the bound is exceeded by a fifth.
        output: the output of the comparison that has ``worst``; empty where nothing could be compared.
        magnitude: the largest value of the reference in that comparison, in the units of the output.
        difference: the largest difference in that comparison, in the units of the output.
        error: why the build failed; None for a build that passed.
        error_code: the exit code of that error; 0 for a build that passed.
    """

    architecture: str
    task: str
    worst: float
    share: float
    output: str
    magnitude: float
    difference: float
    error: str | None
    error_code: int = 0

    @property
    def exit_code(self) -> int:
        """What a command leaves with: that of the error, and at least 1 where the spec's bound is not good."""
        return max(self.error_code, 0 if self.verdict == "good" else 1)

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


def measure(
    names: Iterable[str],
    given: Given,
    on_stage: OnStage = lambda build, text: None,
    on_planned: Callable[[list[Build]], None] = lambda builds: None,
) -> Iterator[Measurement]:
    """Build references into a temporary directory and yield the measurement of each build.

    Args:
        names: specs, architectures, directories of specs or build files.
        given: tasks and options, as for a build.
        on_stage: called with each step of a build.
        on_planned: called with all builds before the first begins.
    """
    with scratch_directory() as scratch:
        builds = plan_builds(names, {**given, "output": scratch, "verify": True})
        on_planned(builds)
        for outcome in run_builds(builds, on_stage):
            yield measurement_of(outcome)


def measurement_of(outcome: Outcome) -> Measurement:
    """Return the measurement of a build, from the report it has even where verification failed."""
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
        error_code=outcome.error.exit_code if outcome.error is not None else 0,
    )


def round_up(value: float) -> float:
    """Round up to one digit, or to two where the first is 1: 2.01e-6 to 3e-6, 1.01e-6 to 1.1e-6."""
    if not math.isfinite(value) or value <= 0:
        return 0.0
    step = 10.0 ** math.floor(math.log10(value))
    step /= 10 if value < 2 * step else 1
    return float(f"{math.ceil(round(value / step, 6)) * step:.1e}")
