"""What a graph is compared with: a live model, or the golden vectors in an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporter.artifacts.golden import read_golden
from exporter.planning.dtypes import Oracle
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Point, SizePlan
from exporter.verification.comparison import Sample


class Expected(Protocol):
    """What the untouched model gives for the inputs of a graph: asked of the model itself, or remembered."""

    @property
    def is_live(self) -> bool:
        """Whether the model itself is there, and can be asked at any sizes."""

    def samples(self, graph: GraphPlan, sizes: SizePlan) -> Iterator[Sample]:
        """Yield what is compared, the traced sizes first."""

    def count(self, sizes: SizePlan) -> int:
        """Return how many samples there are."""

    def probe(self, graph: GraphPlan, point: Point, seed: int) -> Sample | None:
        """Return what the model gives at another point.

        None where that is not remembered, where the model refuses these sizes, or where it gives outputs of other
        sizes than planned.
        """


@dataclass(frozen=True, slots=True)
class LiveModel:
    """An untouched model, as one oracle for each graph: every point of a plan, with two seeds."""

    oracles: Mapping[str, Oracle]
    is_live = True

    def samples(self, graph: GraphPlan, sizes: SizePlan) -> Iterator[Sample]:
        """Yield every point with two seeds."""
        for point in sizes.points:
            for seed in (sizes.seed, sizes.seed + 1):
                inputs = make_dummies(graph, point, seed)
                yield Sample(point, seed, inputs, self.oracles[graph.component](inputs))

    def count(self, sizes: SizePlan) -> int:
        """Return how many samples there are: two at each point."""
        return 2 * len(sizes.points)

    def probe(self, graph: GraphPlan, point: Point, seed: int) -> Sample | None:
        """Return what the model gives at a point; None where it refuses the sizes, or gives others than planned."""
        inputs = make_dummies(graph, point, seed)
        try:
            outputs = self.oracles[graph.component](inputs)
        except Exception:
            # Each model refuses sizes that it was not made for with an error of its own, whatever its type.
            return None
        planned = [tensor.sizes_at(point.sizes) for tensor in graph.outputs]
        return Sample(point, seed, inputs, outputs) if [output.shape for output in outputs] == planned else None


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """The golden vectors of an artifact: every point of its plan, with one seed."""

    directory: Path
    is_live = False

    def samples(self, graph: GraphPlan, sizes: SizePlan) -> Iterator[Sample]:
        """Yield the vectors of every point.

        Raises:
            UsageError: a vector is missing or damaged.
        """
        for index, point in enumerate(sizes.points):
            inputs, outputs = read_golden(self.directory, index, graph)
            yield Sample(point, sizes.seed, inputs, outputs)

    def count(self, sizes: SizePlan) -> int:
        """Return how many samples there are: one at each point."""
        return len(sizes.points)

    def probe(self, graph: GraphPlan, point: Point, seed: int) -> Sample | None:
        """Return None: there are vectors at the points of the plan only."""
        return None
