"""The commands that build: `build` and `measure`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.options import build_options, gather_options, measured_options

if TYPE_CHECKING:
    from exporter.building.requests import Build


@click.command
@click.argument("specs", nargs=-1, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...")
@build_options
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builds run at once, each in a process of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on standard output.")
def build(specs: tuple[str, ...], jobs: int, as_json: bool, **options: Any) -> int:
    """Build and verify graphs.

    Each graph is compared with PyTorch at the sizes it was traced at and at others; one that differs fails the build.
    An artifact is put in place whole: a build that fails or is killed leaves the earlier one as it was.

    \b
        exporter build specs/my-model.yaml
        exporter build my-model --task text-generation-with-past -o out
        exporter build --model ./my-checkpoint --task masked-lm --opset 17 -o onnx
        exporter build --model ./my-checkpoint --target torchscript -o script
        exporter build --model ./my-checkpoint --target neuron --dim batch=1 --dim sequence=128 -o neuron
    """
    from exporter import api
    from exporter.cli.render import builds as render
    from exporter.cli.render.text import render_error

    planned = api.plan_builds(specs, gather_options(options))
    for line in render.headline(planned):
        click.echo(line, err=True)
    outcomes = []
    with StageLine(len(planned)) as on_stage:
        for outcome in api.run_requests(planned, on_stage, jobs):
            outcomes.append(outcome)
            click.echo(render.outcome_line(outcome), err=True)
            if outcome.error is not None:
                click.echo(render_error(outcome.error), err=True)
    if as_json:
        click.echo(json.dumps([render.outcome_data(outcome) for outcome in outcomes], indent=1))
    else:
        for outcome in outcomes:
            for line in render.summarize(outcome):
                click.echo(line)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(outcomes) > 1:
        click.echo(f"{len(outcomes) - len(errors)} built, {len(errors)} failed", err=True)
    return max((error.exit_code for error in errors), default=0)


class StageLine:
    """Shows the stage a build is in: a live line on a terminal, nothing where nobody watches."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._status: Any = None
        # By the place of each build that was started, which no two builds share.
        self._started: dict[Path, None] = {}

    def __enter__(self) -> Callable[[Build, str], None]:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting", spinner="dots")
            self._status.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _show(self, build: Build, text: str) -> None:
        self._started[build.output] = None
        if self._status is not None:
            line = f"[{len(self._started)}/{self._total}] {build.architecture} {build.task}: {text}"
            self._status.update(line.replace("[", "\\["))


@click.command
@click.argument("specs", nargs=-1, required=True, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...")
@measured_options
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def measure(specs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Measure how far graphs are from PyTorch, and the tolerance that supports.

    Builds into a temporary place and compares as a build does. A bound is good when the worst difference is between
    a tenth of it and all of it.
    """
    from exporter import api
    from exporter.cli.render.builds import measurement_data, measurement_line

    measurements = []
    with StageLine(len(specs)) as on_stage:
        for measurement in api.measure(specs, gather_options(options), on_stage):
            measurements.append(measurement)
            if not as_json:
                click.echo(measurement_line(measurement))
    if as_json:
        click.echo(json.dumps([measurement_data(measurement) for measurement in measurements], indent=1))
    return 0 if all(measurement.verdict == "good" for measurement in measurements) else 1


COMMANDS = (build, measure)
