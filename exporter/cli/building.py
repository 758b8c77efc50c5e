"""The commands that build: `build` and `measure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.answer import Answer, json_option
from exporter.cli.color import paint, paint_mark
from exporter.cli.completion import complete_specs
from exporter.cli.junit import JUnitReport, junit_option
from exporter.cli.manner import Manner, say, tell
from exporter.cli.options import build_options, gather_options, measured_options
from exporter.cli.progress import Display

if TYPE_CHECKING:
    from exporter.building.measuring import Measurement
    from exporter.building.pool import Outcome


@click.command
@click.argument("specs", nargs=-1, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...", shell_complete=complete_specs)
@build_options
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of builds that run at once, each in a process of its own.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help=(
        "Build nothing: print what would be built, from which files, how large, how long it took last time, and every "
        "reason why it cannot be."
    ),
)
@junit_option
@json_option("what was built, with plans and reports")
def build(specs: tuple[str, ...], jobs: int, dry_run: bool, junit: Path | None, as_json: bool, **options: Any) -> int:
    """Build graphs and verify them.

    Name a spec, an architecture of 'exporter list', a directory of specs, or a build file; or give a checkpoint alone,
    with --model.

    Each graph is compared with PyTorch, at the sizes it was recorded at and at others; the build of a graph that
    differs fails. An artifact is put in place whole: a build that fails or is killed leaves an earlier artifact as it
    was.

    \b
        exporter build specs/my-model.yaml
        exporter build my-model --task text-generation-with-past -o out
        exporter build --model ./my-checkpoint --task masked-lm --opset 17 -o onnx
        exporter build --model ./my-checkpoint --target torchscript -o script --dry-run
        exporter build --model ./my-checkpoint --target neuron --dim batch=1 --dim sequence=128 -o neuron
    """
    from exporter import api
    from exporter.cli.render import builds as render

    report = JUnitReport.of_command(junit)
    if dry_run:
        return _look_ahead(specs, options, report, as_json=as_json)
    planned = api.plan_builds(specs, gather_options(options))
    _warn_of_versions()
    report.expect({build.output: render.case_of(build) for build in planned})
    for line in render.headline(planned):
        tell(line)
    outcomes: list[Outcome] = []
    built: list[dict[str, Any]] = []
    if as_json:
        Answer.current().keep(builds=built)
    with Display() as display:
        display.expect(planned, jobs)
        for outcome in api.run_requests(planned, display.show_build, jobs):
            display.end_build(outcome.build)
            outcomes.append(outcome)
            built.append(render.outcome_data(outcome))
            report.end(outcome.build.output, render.ended_case(outcome))
            _say_outcome(outcome, display)
    if not as_json and not Manner.current().quiet:
        for outcome in outcomes:
            for line in render.summarize(outcome):
                click.echo(line)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    unproved = sum(
        outcome.error is None and outcome.report is not None and outcome.report.unproved != () for outcome in outcomes
    )
    if len(outcomes) > 1:
        doubt = f", {unproved} of them not proved" if unproved else ""
        tell(f"{len(outcomes) - len(errors)} built{doubt}, {len(errors)} failed")
    exit_code = max((error.exit_code for error in errors), default=0)
    return Answer.current().give(exit_code) if as_json else exit_code


def _say_outcome(outcome: Outcome, display: Display) -> None:
    """Say how a build ended: with ``-q`` where it failed or is not proved, with ``-v`` also what libraries printed."""
    from exporter.cli.render.builds import outcome_line
    from exporter.cli.render.text import render_error

    if Manner.current().verbose:
        display.hear(outcome.log)
    is_good = outcome.error is None and (outcome.report is None or outcome.report.unproved == ())
    (display.tell if is_good else display.say)(paint_mark(outcome_line(outcome)))
    if outcome.error is not None:
        display.say(render_error(outcome.error, color=True))


def _look_ahead(specs: tuple[str, ...], options: dict[str, Any], report: JUnitReport, *, as_json: bool) -> int:
    """Print what a build would do, and return the exit code that it would at least have."""
    from exporter import api
    from exporter.cli.render import foreseen as render
    from exporter.cli.render.text import render_error

    looked_at = api.dry_run(specs, gather_options(options))
    errors = [error for each in looked_at for error in each.refusals]
    exit_code = max((error.exit_code for error in errors), default=0)
    report.conclude(map(render.foreseen_case, looked_at))
    if as_json:
        return Answer.current().give(exit_code, dry_run=render.foreseen_data(looked_at))
    for each in looked_at:
        click.echo("\n".join(render.foreseen_text(each)))
        for error in each.refusals:
            say(render_error(error, color=True), err=False)
    click.echo(render.summary(looked_at))
    return exit_code


def _warn_of_versions() -> None:
    """Say on standard error which libraries are installed in versions that the tests have not run with."""
    from exporter.versions import untried_versions

    for line in untried_versions():
        tell(f"{paint('warning', fg='yellow', bold=True)}: {line}")


@click.command
@click.argument(
    "specs",
    nargs=-1,
    required=True,
    metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...",
    shell_complete=complete_specs,
)
@measured_options
@json_option("the measurements")
def measure(specs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Measure how far graphs are from PyTorch, and suggest the tolerance to write into a spec.

    Builds into a temporary directory, compares as a build does, and keeps nothing. The tolerance of a spec is good
    where the largest difference is between a tenth of it and all of it. Exit code 1 means that one is not.

    \b
        exporter measure specs/my-model.yaml
        exporter measure specs/my-model.yaml --task fill-mask --dtype float16
    """
    from exporter import api
    from exporter.cli.render.builds import measurement_data, measurement_line

    _warn_of_versions()
    measurements: list[Measurement] = []
    measured: list[dict[str, Any]] = []
    if as_json:
        Answer.current().keep(measurements=measured)
    with Display() as display:
        for measurement in api.measure(specs, gather_options(options), display.show_build, display.expect):
            display.end_running()
            measurements.append(measurement)
            measured.append(measurement_data(measurement))
            if not as_json:
                display.print(measurement_line(measurement))
    exit_code = max((measurement.exit_code for measurement in measurements), default=0)
    return Answer.current().give(exit_code) if as_json else exit_code


COMMANDS = (build, measure)
