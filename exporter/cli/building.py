"""The commands that build: `build` and `measure`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.options import build_options, gather_options, target_options
from exporter.errors import ExporterError

if TYPE_CHECKING:
    from exporter.building.requests import Build

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.command(context_settings=_CONTEXT)
@click.argument("specs", nargs=-1, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...")
@build_options
@target_options
@click.option(
    "--weights",
    type=click.Choice(["auto", "external"]),
    help="auto, the default: inside model.onnx below 2 GB, beside it above; external: always beside it.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write: the artifact itself for one task, DIR/<task> for several. Default: artifacts/<name>/<task>.",
)
@click.option(
    "--no-verify",
    "verify",
    is_flag=True,
    flag_value=False,
    default=None,
    help="Do not compare the graph with PyTorch. Nothing then says that it is right.",
)
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

    planned = api.plan_builds(specs, gather_options(options))
    for line in render.headline(planned):
        click.echo(line, err=True)
    outcomes = []
    with _progress(len(planned)) as on_stage:
        for outcome in api.run_requests(planned, on_stage, jobs):
            outcomes.append(outcome)
            click.echo(render.outcome_line(outcome), err=True)
            if outcome.error is not None:
                click.echo(_error_text(outcome.error), err=True)
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


def _error_text(error: ExporterError) -> str:
    """Return an error as a person reads it; findings with their lines and carets."""
    from exporter.cli.render.text import render_diagnostics
    from exporter.language.diagnostics import SpecError

    if isinstance(error, SpecError):
        return render_diagnostics(error.diagnostics)
    return f"error: {error.message}" + (f"\n  = help: {error.help}" if error.help else "")


class _progress:  # noqa: N801 - used like a function
    """Show the stage a build is in: a live line on a terminal, nothing where nobody watches."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.status: Any = None
        self.names: list[str] = []

    def __enter__(self) -> Callable[[Build, str], None]:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True).status("starting", spinner="dots")
            self.status.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        if self.status is not None:
            self.status.stop()

    def show(self, build: Build, text: str) -> None:
        name = f"{build.architecture} {build.task} {build.output}"
        if name not in self.names:
            self.names.append(name)
        if self.status is not None:
            self.status.update(
                f"[{len(self.names)}/{self.total}] {build.architecture} {build.task}: {text}".replace("[", "\\[")
            )


@click.command(context_settings=_CONTEXT)
@click.argument("specs", nargs=-1, required=True, metavar="[SPEC|ARCHITECTURE|DIR]...")
@build_options
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def measure(specs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Measure how far graphs are from PyTorch, and the tolerance that supports.

    Builds into a temporary place and compares as a build does. A bound is good when the worst difference is between a tenth of it
    and all of it.
    """
    from exporter import api
    from exporter.cli.render.builds import measurement_line

    measurements = []
    with _progress(len(specs)) as on_stage:
        for measurement in api.measure(specs, gather_options(options), on_stage):
            measurements.append(measurement)
            if not as_json:
                click.echo(measurement_line(measurement))
    if as_json:
        rows = [{**dataclasses.asdict(one), "suggested": one.suggested, "verdict": one.verdict} for one in measurements]
        click.echo(json.dumps(rows, indent=1))
    return 0 if all(one.verdict == "good" for one in measurements) else 1


COMMANDS = (build, measure)
