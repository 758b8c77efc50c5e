"""What verification measured, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter import records
from exporter.errors import ExporterError
from exporter.planning.plan import Plan
from exporter.planning.words import sizes_text

_SHOWN = 20
# What follows from the fields of a report.
_CONCLUSIONS = ("passed", "verdict")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output at one point, in the units of the output.

    ``share`` is the largest difference as a share of its bound: above 1 the comparison fails. ``scaled`` is the largest
    difference divided by ``1 + |reference|``: the smallest ``atol = rtol`` that holds. ``outside`` is how many elements
    are beyond their bound, ``where`` the index of the worst of them, and ``magnitude`` the largest value of the
    reference. ``problem`` is what else is wrong: a wrong shape or dtype, values that are not finite, or a runtime that
    fails.
    """

    graph: str
    output: str
    point: str
    sizes: Mapping[str, int]
    seed: int
    shape: tuple[int, ...]
    max_abs: float = 0.0
    max_rel: float = 0.0
    share: float = 0.0
    scaled: float = 0.0
    outside: int = 0
    magnitude: float = 0.0
    where: tuple[int, ...] = ()
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every element is within its bound and nothing else is wrong."""
        return self.problem is None and self.share <= 1

    @property
    def badness(self) -> float:
        """How bad it is, to sort by: the share of the bound, infinite where something else is wrong."""
        return math.inf if self.problem is not None else self.share


@dataclass(frozen=True, slots=True)
class Report:
    """What verification measured, and the verdict.

    ``runtime`` names what ran the graphs; ``atol`` and ``rtol`` are the bound. ``problems`` has a line for everything
    that is wrong beside the numbers. ``open_dims`` has, for each graph whose dims were probed one by one, a verdict on
    each. ``unproved`` has a line for everything that the comparisons prove nothing about, good as they are: outputs
    that depend on no input, and inputs that no output depends on. ``remarks`` are
    what else a reader must know.
    """

    runtime: str
    atol: float
    rtol: float
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]
    open_dims: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unproved: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared, the structure is as planned, and every comparison holds."""
        return bool(self.comparisons) and not self.problems and all(each.passed for each in self.comparisons)

    @property
    def verdict(self) -> str:
        """The verdict in words: ``verified``, ``not proved`` where good comparisons prove nothing, or ``failed``."""
        if not self.passed:
            return "failed"
        return "not proved" if self.unproved else "verified"

    @property
    def summary(self) -> dict[str, Any]:
        """The part of a report that a manifest keeps: the worst comparison of each output."""
        kept = ("graph", "output", "point", "max_abs", "max_rel", "share")
        return {
            "runtime": self.runtime,
            "atol": self.atol,
            "rtol": self.rtol,
            "passed": self.passed,
            "verdict": self.verdict,
            "unproved": list(self.unproved),
            "comparisons": len(self.comparisons),
            "worst": [{name: getattr(worst, name) for name in kept} for worst in self.worst().values()],
        }

    def worst(self) -> dict[tuple[str, str], Comparison]:
        """Return the comparison nearest to its bound (or worst beyond it) for each graph and output."""
        worst: dict[tuple[str, str], Comparison] = {}
        for comparison in self.comparisons:
            key = (comparison.graph, comparison.output)
            if key not in worst or comparison.badness > worst[key].badness:
                worst[key] = comparison
        return worst

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable data, with the verdict."""
        return {**records.to_data(self), **{name: getattr(self, name) for name in _CONCLUSIONS}}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Report:
        """Return the report that `to_data` was given.

        Raises:
            KeyError, TypeError, ValueError: the data is not that of a report.
        """
        return records.from_data(Report, {name: value for name, value in data.items() if name not in _CONCLUSIONS})

    def failures(self) -> list[str]:
        """Return what failed in the terms of the model, worst first, one line each."""
        lines = list(self.problems)
        if not self.comparisons and not lines:
            return ["nothing was compared"]
        failed = [comparison for comparison in self.comparisons if not comparison.passed]
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for comparison in sorted(failed, key=lambda each: each.badness, reverse=True):
            groups.setdefault((comparison.graph, comparison.output), []).append(comparison)
        return [*lines, *(self._describe(group) for group in groups.values())]

    def _describe(self, failed: list[Comparison]) -> str:
        """Return a line about one output, whose failed comparisons are given worst first."""
        worst = failed[0]
        sizes = sizes_text(worst.sizes, "its one size")
        if worst.problem is not None:
            return f"{worst.graph}: '{worst.output}' at {sizes}: {worst.problem}"
        measured = (
            f"{worst.graph}: '{worst.output}' differs by {worst.max_abs:.2e} ({worst.share:.3g} times its bound) "
            f"at {list(worst.where)}, {worst.outside} of {math.prod(worst.shape)} elements outside, at {sizes}"
        )
        output = (worst.graph, worst.output)
        points = {each.point for each in self.comparisons if (each.graph, each.output) == output}
        good = points - {comparison.point for comparison in failed}
        if good == {"trace"}:
            return f"{measured}; it passes at the traced sizes only: an axis was baked in"
        return f"{measured}; it passes at {', '.join(sorted(good))}" if good else f"{measured}; it passes nowhere"


class VerificationError(ExporterError):
    """The artifact is not what was planned, or does not compute what PyTorch computes; ``report`` tells how far off."""

    def __init__(self, message: str, *, help: str | None = None, report: Report) -> None:
        super().__init__(message, help=help)
        self.report = report

    @classmethod
    def of(cls, report: Report, plan: Plan) -> VerificationError:
        """Return the error that tells of a report that did not pass."""
        lines = "".join(f"\n  {line}" for line in report.failures()[:_SHOWN])
        return cls(
            f"{plan.title} failed verification (atol {report.atol:g}, rtol {report.rtol:g}):{lines}",
            help="nothing was written; a bound can be raised with --atol and --rtol once the difference is understood",
            report=report,
        )
