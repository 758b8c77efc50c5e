"""The group of commands, and how an error becomes an exit code.

Exit codes: 0 good; 1 findings, a failed build or verification; 2 wrong usage; 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from typing import NoReturn

import click

import exporter
from exporter.cli import building, linting, looking
from exporter.cli.options import CONTEXT
from exporter.errors import ExporterError, describe_error
from exporter.targets.registry import TARGETS


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _leave("interrupted", None, 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except ExporterError as error:
        from exporter.cli.render.text import render_error

        click.echo(render_error(error), err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        report_bug(error)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, help_: str | None, code: int) -> NoReturn:
    click.echo(message, err=True)
    if help_:
        click.echo(f"  = help: {help_}", err=True)
    sys.exit(code)


def report_bug(error: Exception) -> NoReturn:
    """Write what happened to a log, name it, and leave with exit code 3."""
    import platform

    with tempfile.NamedTemporaryFile("w", prefix="exporter-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"exporter {exporter.__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        traceback.print_exception(error, file=log)
    _leave(
        f"a bug in exporter: {describe_error(error)}",
        f"please report it with the log: {log.name}",
        3,
    )


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"exporter, version {exporter.__version__}")
        context.exit()


_HELP = f"""Turn Hugging Face Transformers checkpoints into verified graphs: {", ".join(TARGETS)}.

    An architecture is described by one YAML spec. Build it as it is to check the spec on a tiny model with random
    weights, or give a checkpoint:

    \b
        exporter build specs/my-model.yaml            the reference of an architecture, offline
        exporter build --model ./my-checkpoint -o out a checkpoint, its spec and task found from its config
        exporter verify out                           check an artifact again, without PyTorch
        exporter lint specs                           check specs, with carets under what is wrong
    """


@click.group(help=_HELP, context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """The group of commands, whose help is `_HELP`."""


for command in (*building.COMMANDS, *looking.COMMANDS, *linting.COMMANDS):
    cli.add_command(command)
