"""The group of commands, and how an error becomes an exit code.

Exit codes: 0 success; 1 findings, or a build or verification that failed; 2 a request that cannot be served; 3 a bug in
exporter; 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import tempfile
import traceback
from typing import NoReturn

import click

from exporter.cli import building, linting, looking
from exporter.cli.options import CONTEXT
from exporter.errors import ExporterError, UsageError, describe_error
from exporter.targets.registry import TARGETS
from exporter.versions import installed_version

# What the machine refuses whatever the program does. That is no bug, and another path or more room helps.
_REFUSALS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)


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
        # The program that reads the output, `head` for example, has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        from exporter.cli.render.text import render_error

        failure = find_failure(error)
        if failure is None:
            report_bug(error)
        click.echo(render_error(failure), err=True)
        sys.exit(failure.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def find_failure(error: Exception) -> ExporterError | None:
    """Return what to tell the user of an error, or None for a bug.

    An error of the file system, such as a directory that may not be read, is told like a wrong request.
    """
    if isinstance(error, ExporterError):
        return error
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        place = f"'{error.filename}' cannot be used" if error.filename else "the file system refuses"
        return UsageError(f"{place}: {error.strerror}", help="give another path, or see to its permissions and room")
    return None


def _leave(message: str, help_: str | None, code: int) -> NoReturn:
    click.echo(message, err=True)
    if help_:
        click.echo(f"  = help: {help_}", err=True)
    sys.exit(code)


def report_bug(error: Exception) -> NoReturn:
    """Write what happened to a log, name it, and leave with exit code 3."""
    import platform

    with tempfile.NamedTemporaryFile("w", prefix="exporter-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"exporter {installed_version()}, Python {platform.python_version()}, {platform.platform()}\n")
        traceback.print_exception(error, file=log)
    _leave(
        f"a bug in exporter: {describe_error(error)}",
        f"please report it with the log: {log.name}",
        3,
    )


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"exporter, version {installed_version()}")
        context.exit()


_HELP = f"""Turn Hugging Face Transformers checkpoints into verified graphs: {", ".join(TARGETS)}.

    One YAML spec describes one architecture. A build takes a checkpoint, or else the spec's reference: a tiny model
    with random weights, which shows offline that the spec is right.

    \b
        exporter list                                   which architectures and tasks there are
        exporter build --model ./my-checkpoint -o out   build a checkpoint; its config says which spec and task
        exporter build specs/my-model.yaml              build the reference of a spec
        exporter verify out                             check an artifact again, without PyTorch
        exporter lint specs                             check specs, with carets under what is wrong

    Exit code: 0 success; 1 findings, or a build or verification that failed; 2 a request that cannot be served; 3 a bug
    in exporter.
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
