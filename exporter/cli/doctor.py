"""The command that looks at the machine: `doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli.answer import Answer, json_option
from exporter.cli.color import paint_mark
from exporter.cli.manner import Manner, say
from exporter.cli.progress import Display

_MARKS = {"ok": "✓", "absent": "-", "warning": "!", "missing": "✗"}


@click.command
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default="artifacts",
    show_default=True,
    help="Where artifacts would be written, whose free room is told.",
)
@click.option("--no-hub", is_flag=True, help="Do not ask the Hub whether it answers.")
@json_option("what was found")
def doctor(output: Path, no_hub: bool, as_json: bool) -> int:
    """Say what this machine has for builds and what it lacks, with what to do about it.

    Versions of libraries, extras, SDKs, free room, memory and the Hub. Nothing is imported, and no token is printed.
    Exit code 1 means that something is missing without which nothing can be built.

    \b
        exporter doctor
        exporter doctor --no-hub --json
    """
    from exporter.building.machine import examine_machine

    with Display() as display:
        if not no_hub:
            display.show("asking the Hub whether it answers")
        findings = examine_machine(output, hub=not no_hub)
    lacking = [finding for finding in findings if finding.state == "missing"]
    code = 1 if lacking else 0
    if as_json:
        from exporter import records

        return Answer.current().give(code, findings=[records.to_data(each) for each in findings])
    group = None
    for finding in findings:
        if Manner.current().quiet and finding.state not in ("missing", "warning"):
            continue
        if finding.group != group:
            group = finding.group
            click.echo(group)
        say(paint_mark(f"  {_MARKS[finding.state]} {finding.name}: {finding.found}"), err=False)
        if finding.help is not None:
            click.echo(f"      {finding.help}")
    if Manner.current().quiet:
        return code
    click.echo("specs can be linted; " + ("nothing can be built yet" if lacking else "graphs can be built"))
    return code


COMMANDS = (doctor,)
