"""Measure how far graphs are from their models, and say which bound that supports.

A bound is good when it is some way above the worst difference seen, so that another machine's rounding passes, and no further: a
bound of many times the difference would let a real fault through.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.building.pool import OnStage, run_builds
from exporter.building.request import Given
from exporter.building.requests import plan_builds
from exporter.errors import ExporterError

# The bound to suggest, and the loosest one to keep, as multiples of the worst difference seen.
MARGIN, LOOSEST = 7.0, 10.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One task of one architecture in one dtype.

    ``worst`` is the largest ``|difference| / (1 + |reference|)`` over outputs, sizes and seeds: the smallest ``atol = rtol`` that holds.
    ``share`` is the largest difference as a share of the spec's bound. ``output`` and ``magnitude`` are of the comparison with ``worst``.
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
        """Whether the spec's bound fits: ``good``, ``too tight`` or ``too loose``."""
        if self.share > 1:
            return "too tight"
        return "good" if self.share * LOOSEST >= 1 else "too loose"


def measure(names: Iterable[str], given: Given, on_stage: OnStage = lambda build, text: None) -> Iterator[Measurement]:
    """Build references into a place of no consequence and yield what verification measures.

    Args:
        names: specs, architectures or directories of specs.
        given: tasks and options, as for a build.
        on_stage: told what is being done.
    """
    with tempfile.TemporaryDirectory(prefix="exporter-") as scratch:
        builds = plan_builds(names, {**given, "output": Path(scratch)})
        for outcome in run_builds(builds, on_stage):
            report = outcome.report
            finite = [one for one in report.comparisons if one.problem is None] if report is not None else []
            worst = max(finite, key=lambda one: one.scaled, default=None)
            yield Measurement(
                architecture=outcome.build.architecture,
                task=outcome.build.task,
                worst=worst.scaled if worst is not None else math.nan,
                share=max((one.share for one in finite), default=math.nan),
                output=worst.output if worst is not None else "",
                magnitude=worst.magnitude if worst is not None else math.nan,
                difference=worst.max_abs if worst is not None else math.nan,
                error=_reason(outcome.error),
            )


def round_up(value: float) -> float:
    """Return the next larger number with one digit, or with two where the first is 1."""
    if not math.isfinite(value) or value <= 0:
        return 0.0
    step = 10.0 ** math.floor(math.log10(value))
    step /= 10 if value < 2 * step else 1
    return float(f"{math.ceil(round(value / step, 6)) * step:.1e}")


def _reason(error: ExporterError | None) -> str | None:
    return error.message if error is not None else None
