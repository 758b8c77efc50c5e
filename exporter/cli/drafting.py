"""The command that drafts a spec: `new`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.answer import Answer, json_option
from exporter.cli.completion import complete_directory, complete_families, complete_tasks
from exporter.cli.manner import say, tell
from exporter.cli.options import source_options
from exporter.cli.progress import Display
from exporter.errors import UsageError

if TYPE_CHECKING:
    from exporter.drafting.making import Drafted


@click.command
@click.argument("model_type", required=False)
@click.option(
    "--model",
    metavar="DIR|HUB_ID",
    shell_complete=complete_directory,
    help="Draft for the architecture of this checkpoint.",
)
@source_options
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK",
    shell_complete=complete_tasks,
    help="Task the spec is to have; may be given several times. Default: every task that fits.",
)
@click.option(
    "--family",
    metavar="FAMILY",
    shell_complete=complete_families,
    help="Family to extend. Default: the one that serves most tasks.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write, or the directory for <model type>.yaml. A file that is there is kept. Default: print it.",
)
@click.option("--check", metavar="SPEC", help="Draft the spec of SPEC's architecture anew and show how the two differ.")
@click.option(
    "--no-build",
    "build",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Do not build the references. The spec is examined against them in PyTorch, and bounds are the family's.",
)
@json_option("the spec, what was left out, and how the builds went")
def new(
    model_type: str | None,
    model: str | None,
    tasks: tuple[str, ...],
    family: str | None,
    output: Path | None,
    check: str | None,
    build: bool,
    as_json: bool,
    **of_source: Any,
) -> int:
    """Draft the spec of an architecture by looking at its model.

    MODEL_TYPE is what a config.json calls 'model_type'. A tiny model of it is made and run at several sizes, which
    shows what family of the catalogue fits, which tasks, inputs and outputs there are, and which values of the config
    give their sizes. Each task is then built and measured. Comments in the spec say what was matched by its size, and
    what was left out and why. Exit code 1 means that a task did not build or the linter found something; the spec is
    written anyway.

    \b
        exporter new olmo3 -o specs/
        exporter new --model ./my-checkpoint --task text-generation-with-past
        exporter new --check specs/my-model.yaml
    """
    from exporter import api

    asked = {"model": model, "tasks": tasks, "family": family, "build": build, **of_source}
    given = api.given_options(**asked)
    if check is not None:
        if model_type is not None or model is not None or output is not None:
            raise UsageError("--check drafts the architecture of its spec and writes nothing", help="give it alone")
        with Display() as display:
            differences = api.check_draft(check, given, partial(_ask, display), display.show)
        if as_json:
            return Answer.current().give(1 if differences else 0, differences=differences)
        click.echo("\n".join(differences) or f"'{check}' says what would be drafted")
        return 1 if differences else 0
    _refuse_existing(output, model_type)
    with Display() as display:
        drafted = api.draft(model_type, given, partial(_ask, display), display.show)
    path = _write(drafted, output) if output is not None else None
    if as_json:
        return Answer.current().give(0 if drafted.passed else 1, **_data(drafted, path))
    if path is None:
        click.echo(drafted.text, nl=False)
    _report(drafted, path)
    return 0 if drafted.passed else 1


def _ask(display: Display, question: str, choices: list[str], option: str) -> str:
    """Ask for one line in a terminal; elsewhere name the option that answers."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} It fits {' and '.join(choices)} equally well", help=f"say it with {option}")
    with display.away():
        answer: str = click.prompt(question, type=click.Choice(choices), err=True)
    return answer


def _refuse_existing(output: Path | None, model_type: str | None) -> None:
    path = output / f"{model_type}.yaml" if output is not None and output.is_dir() and model_type else output
    if path is not None and path.is_file():
        raise UsageError(f"'{path}' is there already", help="remove it, or compare with it: exporter new --check FILE")


def _write(drafted: Drafted, output: Path) -> Path:
    """Write the spec whole, or not at all, and return its place."""
    path = output / f"{drafted.draft.architecture}.yaml" if output.is_dir() else output
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(drafted.text)
    except FileExistsError:
        raise UsageError(f"'{path}' is there already", help="remove it, or give another name") from None
    return path


def _data(drafted: Drafted, path: Path | None) -> dict[str, Any]:
    from exporter.cli.render.builds import measurement_data

    return {
        "spec": drafted.text,
        "architecture": drafted.draft.architecture,
        "family": drafted.draft.family,
        "file": str(path) if path is not None else None,
        "tasks": list(drafted.draft.tasks),
        "left_out": drafted.left_out,
        "findings": [finding.message for finding in drafted.findings],
        "builds": [
            {"task": proof.task, "tracer": proof.tracer, "measurement": measurement_data(proof.measurement)}
            for proof in drafted.proofs
        ],
    }


def _report(drafted: Drafted, path: Path | None) -> None:
    """Say on standard error what was drafted and how sure that is."""
    where = f" in {path}" if path is not None else ""
    count = len(drafted.draft.tasks)
    tell(
        f"{drafted.draft.architecture}: {count} {'task' if count == 1 else 'tasks'} of '{drafted.draft.family}'{where}"
    )
    for proof in drafted.proofs:
        measured = proof.measurement
        state = (
            f"built with {proof.tracer}, worst {measured.worst:.1e}" if proof.tracer else f"failed: {measured.error}"
        )
        (tell if proof.tracer else say)(f"  {proof.task}: {state}")
    for task, reason in drafted.left_out.items():
        tell(f"  left out {task}: {reason}")
    if drafted.findings:
        from exporter.cli.render import text

        say(text.render_diagnostics(list(drafted.findings), color=True))


COMMANDS = (new,)
