"""Sweep the float32 bounds of the catalogue: every architecture and task, at sizes and masks drawn at random.

    python benchmarks/bounds.py bounds.jsonl                     # every pair, 50 points each; resumes where it stopped
    python benchmarks/bounds.py bounds.jsonl --only my-model     # the pairs of one architecture
    python benchmarks/bounds.py bounds.jsonl --report            # what the file says, without measuring

Each pair is built once from its reference, unverified, and every graph runs in ONNX Runtime beside the untouched model.
A line of the file holds the largest share of the bound that any element of any output used, and where: at 1.2 the bound
is exceeded by a fifth. Sizes that the model itself refuses, or at which it gives outputs of other sizes than planned,
are drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporter.building.events import Job
from exporter.building.preparing import Prepared, loadable_checkpoint
from exporter.building.requests import Build, plan_builds
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.diagnostics import SpecError
from exporter.language.loading import load_spec
from exporter.language.spec import DynamicDim, overlay_config
from exporter.planning.dtypes import Array
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan, Point
from exporter.planning.points import open_dims
from exporter.planning.sizes import Sizes

# How often sizes are drawn anew for each point that is asked for, where the model refuses them.
DRAWS_PER_POINT = 4
# Up to this size a dim counts rows or tokens; above, samples or pixels, which cost more.
COUNTED = 16


class Draws:
    """Points and inputs of a plan, at random."""

    def __init__(self, plan: Plan, sizes: Sizes) -> None:
        self.plan, self.sizes = plan, sizes
        self.dims, self.derived = open_dims(sizes, plan.graphs)

    def point(self, rng: np.random.Generator, number: int) -> Point | None:
        """Return a point with a random size for each dynamic dim; None where derived dims have no size there."""
        known = {dim.name: draw_size(dim, rng) for dim in self.dims}
        try:
            for dim in self.derived:
                known[dim.name] = self.sizes.derived(dim, known)
        except SpecError:
            return None
        return Point(f"draw {number}", known)

    def inputs(self, graph: GraphPlan, point: Point, rng: np.random.Generator) -> dict[str, Array]:
        """Return the inputs of a graph, with masks of random lengths and, in some rows, random holes."""
        inputs = make_dummies(graph, point, self.plan.sizes.seed)
        for tensor in graph.inputs:
            if tensor.fill is not None and tensor.fill.name == "padding" and inputs[tensor.name].size:
                inputs[tensor.name] = draw_mask(inputs[tensor.name], "left" in tensor.fill.args, rng)
        return inputs


def draw_size(dim: DynamicDim, rng: np.random.Generator) -> int:
    """Return a size between the smallest a dim is checked at and three times its largest (half more for large ones).

    A dim that is checked at 0 and 1 alone is a switch.
    """
    known = (dim.trace, *dim.check)
    low, high = min(known), max(known)
    if high > 1:
        high = 3 * high if high <= COUNTED else high + high // 2
    return int(rng.integers(low, high + 1))


def draw_mask(like: Array, left: bool, rng: np.random.Generator) -> Array:
    """Return a mask with a random number of tokens in each row, but one at least, on the side that is not padded."""
    mask = np.zeros_like(like)
    rows = mask.reshape(-1, mask.shape[-1])
    for row in rows:
        tokens = int(rng.integers(1, len(row) + 1))
        row[:tokens] = 1
        if rng.random() < 0.25:
            row[1:tokens] = rng.integers(0, 2, tokens - 1)
        if left:
            row[:] = row[::-1].copy()
    return mask


def measure(build: Build, points: int) -> dict[str, Any]:
    """Build a pair and return what a line of the file says of it."""
    from exporter.building.job import build_artifact
    from exporter.models.configs import make_config
    from exporter.models.flat_model import FlatModel
    from exporter.models.loading import load_model
    from exporter.models.oracle import make_oracle
    from exporter.targets.registry import find_target
    from exporter.verification.comparison import Sample, compare_outputs

    spec = load_spec(str(build.request.spec))
    task = spec.tasks[build.task]
    config = make_config(spec.architecture, overlay_config(spec.reference, task.reference_config, task.config))
    with tempfile.TemporaryDirectory(prefix="exporter-") as scratch:
        artifact, weights = Path(scratch, "artifact"), Path(scratch, "weights")
        artifact.mkdir()
        weights.mkdir()
        plan = build_artifact(Job(build.request, artifact), lambda _: None).plan
        model = load_model(plan, loadable_checkpoint(Prepared(plan, None), weights)).model
        draws = Draws(plan, Sizes(spec, config))
        result: dict[str, Any] = {"points": 0, "refused": 0, "share": 0.0, "scaled": 0.0, "bound": plan.bound.atol}
        result |= {"outside": 0, "problems": []}
        for graph in plan.graphs:
            session = find_target(plan.recording.target).open_session(artifact / graph.file, plan)
            oracle = make_oracle(FlatModel(model, graph))
            rng = np.random.default_rng([plan.sizes.seed, *graph.component.encode()])
            compared = 0
            for number in range(points * DRAWS_PER_POINT):
                if compared == points:
                    break
                point = draws.point(rng, number)
                if point is None:
                    continue
                inputs = draws.inputs(graph, point, rng)
                try:
                    expected = oracle(inputs)
                except Exception:
                    # Each model refuses sizes that it was not made for with an error of its own, whatever its type.
                    result["refused"] += 1
                    continue
                if [output.shape for output in expected] != [tensor.sizes_at(point.sizes) for tensor in graph.outputs]:
                    result["refused"] += 1
                    continue
                compared += 1
                sample = Sample(point, plan.sizes.seed, inputs, expected)
                comparisons = list(compare_outputs(session, graph, sample, plan.bound))
                result["outside"] += any(comparison.share > 1 for comparison in comparisons)
                for comparison in comparisons:
                    if comparison.problem is not None:
                        result["problems"].append(f"{graph.component} {dict(point.sizes)}: {comparison.problem}"[:300])
                    if comparison.share > result["share"]:
                        result["share"] = comparison.share
                        result["at"] = f"{graph.component} {comparison.output} {dict(point.sizes)}"
                    result["scaled"] = max(result["scaled"], comparison.scaled)
            result["points"] += compared
    return result


def measure_in_child(build: Build, points: int) -> dict[str, Any]:
    """Measure in a forked child, which gives all of its memory back."""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            line = measure(build, points)
        except UsageError as error:
            line = {"refusal": error.message}
        except Exception:
            line = {"error": traceback.format_exc()[-800:]}
        with os.fdopen(there, "w") as pipe:
            json.dump(line, pipe)
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    result: dict[str, Any] = json.loads(text) if text else {"error": "the process died"}
    return result


def read_lines(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is measured already, by architecture and task; a later line of a pair replaces an earlier one."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(line["architecture"], line["task"]): line for line in lines}


def report(path: Path, shown: int) -> Iterator[str]:
    """Yield the lines of the report: counts, then the pairs that used most of their bound."""
    lines = read_lines(path).values()
    measured = sorted((line for line in lines if "share" in line), key=lambda line: -line["share"])
    points = sum(line["points"] for line in measured)
    yield f"{len(measured)} pairs, {points} points, {sum(line['share'] > 1 for line in measured)} beyond their bound"
    for line in lines:
        for problem in (*line.get("problems", [])[:2], *[line[key] for key in ("error", "refusal") if key in line]):
            yield f"{line['architecture']} {line['task']}: {problem}"
    for line in measured[:shown]:
        at = line.get("at", "")
        yield (
            f"{line['share']:6.2f}  {line['architecture']} {line['task']}: bound {line['bound']:.1e}, smallest that "
            f"holds {line['scaled']:.1e}, {line['outside']} of {line['points']} points outside, at {at}"
        )


def main() -> None:
    """Measure what the file lacks, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the JSON lines, read to resume and appended to")
    parser.add_argument("--points", type=int, default=50, help="points for each graph of a pair")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="architectures, in place of all")
    parser.add_argument("--again", action="store_true", help="measure also what the file has")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--shown", type=int, default=40, help="pairs in the report")
    options = parser.parse_args()
    if not options.report:
        from exporter.building import job  # noqa: F401 # imported once, for every child

        lines = {} if options.again else read_lines(options.file)
        done = {pair for pair, line in lines.items() if "error" not in line}
        names = options.only or [path.stem for path in list_specs()]
        with tempfile.TemporaryDirectory(prefix="exporter-") as place:
            for build in plan_builds(names, {"output": Path(place), "verify": False}):
                if (build.architecture, build.task) in done:
                    continue
                pair = {"architecture": build.architecture, "task": build.task}
                line = {**pair, **measure_in_child(build, options.points)}
                with options.file.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(build.architecture, build.task, f"{line.get('share', float('nan')):.2f}", file=sys.stderr)
    for text in report(options.file, options.shown):
        print(text)


if __name__ == "__main__":
    main()
