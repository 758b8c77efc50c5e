"""The command that lints."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli.answer import Answer
from exporter.cli.completion import complete_rules, complete_specs
from exporter.cli.manner import Manner, say
from exporter.cli.progress import Display
from exporter.errors import UsageError
from exporter.language.diagnostics import Severity


@click.command
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_specs)
@click.option(
    "--models",
    is_flag=True,
    help="Also make the tiny model of each reference and compare the spec with what it does. Slow: imports PyTorch.",
)
@click.option("--fix", is_flag=True, help="Write the safe fixes into the files.")
@click.option("--diff", is_flag=True, help="Print what --fix would change as a diff, and change nothing.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="Print findings for people (text), programs (json), code scanning (sarif) or pull requests (github).",
)
@click.option("--json", "style", flag_value="json", help="The same as --format json.")
@click.option(
    "--select",
    multiple=True,
    shell_complete=complete_rules,
    metavar="RULE",
    help="Run these rules only: a name (unknown-dim), or the start of codes (EXP5). May be given several times.",
)
@click.option(
    "--changed",
    is_flag=True,
    help=(
        "PATHs are files that changed, as pre-commit gives them: those that are no documents of exporter are left "
        "alone, and a family brings the specs of its catalogue."
    ),
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="RULE",
    shell_complete=complete_rules,
    help="Leave these rules out, named like those of --select.",
)
@click.option(
    "--fail-on",
    type=click.Choice([severity.value for severity in Severity]),
    help=(
        "Leave with exit code 1 for findings that matter as much as this, or more: error lets warnings pass. "
        "Default: warning, for every finding."
    ),
)
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 whatever is found.")
def lint(
    paths: tuple[str, ...],
    models: bool,
    fix: bool,
    diff: bool,
    style: str,
    changed: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str | None,
    exit_zero: bool,
) -> int:
    """Check specs, families and build files. Without PATH: the directory 'specs'.

    PATH is a file, a directory, or an architecture of 'exporter list'. Every finding has its place, the rule, and what
    to do about it; 'exporter explain RULE' says more. Exit code 1 means that something was found, as --fail-on says;
    3 that a rule crashed.

    \b
        exporter lint specs
        exporter lint specs/my-model.yaml --models
        exporter lint specs --format github
    """
    from exporter import api
    from exporter.cli.render import machine, text
    from exporter.language.linting import LintResult

    if fix and diff:
        raise UsageError("--fix changes the files and --diff does not", help="give one of them")
    if diff and style != "text":
        raise UsageError(f"--diff prints a diff, and --format {style} the findings", help="give one of them")
    if exit_zero and fail_on is not None:
        raise UsageError(f"--exit-zero fails on nothing, and --fail-on {fail_on} on findings", help="give one of them")
    threshold = None if exit_zero else Severity(fail_on or Severity.WARNING)
    if changed:
        from exporter.language.changed import find_affected, removed_files

        paths = tuple(find_affected([*paths, *removed_files()]))
    chosen = paths or (("specs",) if Path("specs").is_dir() else ())
    if not chosen and not changed:
        raise UsageError(
            "there is no directory 'specs' here", help="name the specs to lint: exporter lint path/to/specs"
        )

    with Display() as display:

        def run() -> LintResult:
            if changed and not paths:
                return LintResult((), ())
            return api.lint(*chosen, models=models, select=select, ignore=ignore, progress=display.show)

        result, fixed = api.fix(run) if fix else (run(), 0)
    exit_code = result.exit_code(threshold)
    if diff:
        click.echo("".join(api.diff_fixes(result)), nl=False)
        return exit_code
    if style == "json":
        return Answer.current().give(exit_code, **machine.lint_data(result, fixed))
    renderers = {
        "sarif": machine.diagnostics_sarif,
        "github": machine.diagnostics_github,
    }
    if style == "text" and changed and not paths:
        return exit_code
    if style != "text":
        rendered = renderers[style](result.diagnostics)
        click.echo(rendered + "\n" if rendered else "", nl=False)
    else:
        if result.diagnostics:
            say(text.render_diagnostics(result.diagnostics, color=True) + "\n", err=False)
        if not Manner.current().quiet:
            click.echo(
                (f"{fixed} fixed; " if fixed else "")
                + text.render_summary(result.diagnostics, len(result.files), result.count)
            )
    return exit_code


COMMANDS = (lint,)
