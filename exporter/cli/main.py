"""The group of commands, and how an error becomes an exit code.

Exit codes: 0 success; 1 findings, or a build or verification that failed; 2 a request that cannot be served; 3 a bug in
exporter; 130 interrupted; 143 ended by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import click

from exporter.artifacts.refusals import find_broken_library, find_refusal
from exporter.cli import building, doctor, drafting, linting, looking, publishing
from exporter.cli.answer import Answer
from exporter.cli.completion import prepare_completion
from exporter.cli.ending import Ending, leave, told_to_end
from exporter.cli.junit import report_failures
from exporter.cli.manner import add_manner, say
from exporter.cli.mistakes import suggest_by_meaning
from exporter.cli.options import CONTEXT
from exporter.cli.progress import restore_terminal
from exporter.errors import EngineError, ExporterError, describe_error
from exporter.targets.registry import TARGETS
from exporter.versions import installed_version


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_streams()
    prepare_completion()
    answer = Answer.of_words(sys.argv[1:], cli.commands)
    report_failures(answer, cli.commands)
    with told_to_end() as ending:
        ending.last_words = lambda: _answer_interruption(ending, answer)
        code = _run(ending, answer)
        if ending.signal is not None:
            leave(code)
    sys.exit(code)


def _run(ending: Ending, answer: Answer) -> int:
    """Run the command line, tell the user and the program of its errors, and return its exit code."""
    try:
        try:
            code = cli(standalone_mode=False, obj=answer)
            sys.stdout.flush()
        except (click.exceptions.Abort, KeyboardInterrupt):
            restore_terminal()
            _say(ending.message)
            ending.last_words()
            return ending.exit_code
        except click.ClickException as error:
            suggest_by_meaning(error)
            _say(error)
            return _answer_failure(error, answer)
        except BrokenPipeError:
            raise
        except Exception as error:
            failure = find_failure(error)
            if failure is None:
                failure = tell_bug(error)
            else:
                _say(failure)
            return _answer_failure(failure, answer)
    except BrokenPipeError:
        # The program that reads the output, `head` for example, has seen enough.
        _close_streams()
        return 0
    return code if isinstance(code, int) else 0


def _answer_failure(error: ExporterError | click.ClickException, answer: Answer) -> int:
    """Answer the program that asked, if one did, and return the exit code."""
    if answer.is_heard:
        from exporter.cli.render.machine import describe_failure

        answer.fail(error.exit_code, describe_failure(error))
    return error.exit_code


def _answer_interruption(ending: Ending, answer: Answer) -> None:
    restore_terminal()
    if answer.is_heard:
        from exporter.cli.render.machine import INTERRUPTED, error_data

        answer.fail(ending.exit_code, error_data(INTERRUPTED, ending.message))


def _open_streams() -> None:
    """Give the process the standard streams it was started without, and let them print every name that files have.

    The first file that is opened would have the place of a missing stream, and what is printed would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _close_streams() -> None:
    """Let what is still to be printed go nowhere: its reader is gone, and Python complains where it cannot print it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def _say(what: str | click.ClickException | ExporterError) -> None:
    """Tell the user on standard error, if anybody reads it."""
    try:
        if isinstance(what, click.ClickException):
            _advised(what).show()
        elif isinstance(what, ExporterError):
            from exporter.cli.render.text import render_error

            say(render_error(what, color=True))
        else:
            say(what)
    except OSError:
        _close_streams()


def _advised(error: click.ClickException) -> click.ClickException:
    """Return an error with what to use for a flag of optimum's command line, in place of flags with similar letters."""
    if isinstance(error, click.NoSuchOption):
        from exporter.planning.instead import advice_for

        advice = advice_for("flags", error.option_name)
        if advice is not None:
            name = error.option_name
            return click.UsageError(f"No such option '{name}'. It is one of optimum-cli's; here: {advice}", error.ctx)
    return error


def find_failure(error: Exception) -> ExporterError | None:
    """Return what to tell the user of an error, or None for a bug.

    What the machine refuses, such as a directory that may not be read, is told like a wrong request. So is a library
    that cannot be imported.
    """
    if isinstance(error, ExporterError):
        return error
    return find_refusal(error) or find_broken_library(error)


def report_bug(error: Exception) -> NoReturn:
    """Write what happened to a log, name it, and leave with exit code 3."""
    sys.exit(tell_bug(error).exit_code)


def tell_bug(error: Exception) -> EngineError:
    """Write what happened to a log, tell the user of it, and return the error that names the log."""
    import platform

    title = f"exporter {installed_version()}, Python {platform.python_version()}, {platform.platform()}\n"
    text = title + "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="exporter-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as log:
            log.write(text)
        help_ = f"please report it with the log: {log.name}"
    except OSError as unwritten:
        help_ = f"please report it; its log cannot be written: {describe_error(unwritten)}"
    bug = EngineError(f"a bug in exporter: {describe_error(error)}", help=help_)
    _say(f"{bug.message}\n  = help: {help_}")
    return bug


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
        exporter push out me/my-model-onnx              publish an artifact on the Hub
        exporter lint specs                             check specs, with carets under what is wrong
        exporter new my_model -o specs                  draft the spec of an architecture that has none

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


_COMMANDS = (
    *building.COMMANDS,
    *looking.COMMANDS,
    *linting.COMMANDS,
    *drafting.COMMANDS,
    *doctor.COMMANDS,
    *publishing.COMMANDS,
)
for command in _COMMANDS:
    # A command that another program runs without the group has the same options for help.
    command.context_settings = {**CONTEXT, **command.context_settings}
    add_manner(command)
    cli.add_command(command)
add_manner(cli)
