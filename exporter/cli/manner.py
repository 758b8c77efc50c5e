"""How much a command says, and in which colours: ``-q``, ``-v`` and ``--color``, before or after a command's name."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import click

from exporter.cli.color import CHOICES, Choice, wants_color
from exporter.speech import let_libraries_speak


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command speaks.

    Attributes:
        quiet: only errors are said, and results that one needs.
        verbose: steps are said too, and what libraries log and warn of.
        color: what ``--color`` was given.
    """

    quiet: bool = False
    verbose: bool = False
    color: Choice = "auto"

    @staticmethod
    def current() -> Manner:
        """Return how the command that runs now speaks."""
        return _CURRENT.get()


_USUAL = Manner()
_CURRENT: ContextVar[Manner] = ContextVar("manner", default=_USUAL)


def say(text: str, *, err: bool = True) -> None:
    """Print a line, on standard error or else on standard output; its colours are left out where none are wanted."""
    stream = sys.stderr if err else sys.stdout
    click.echo(text, err=err, color=wants_color(Manner.current().color, stream))


def tell(text: str) -> None:
    """Say a line on standard error that nobody needs who asks for quiet."""
    if not Manner.current().quiet:
        say(text)


def add_manner(command: click.Command) -> None:
    """Give a command, or the group of them, the options that say how it speaks."""
    command.params += [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_settle,
            help="Say errors, and results that one needs, alone.",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_settle,
            help="Say every step too, and what libraries log and warn of.",
        ),
        click.Option(
            ["--color"],
            type=click.Choice(CHOICES),
            expose_value=False,
            callback=_settle,
            metavar="WHEN",
            help=(
                "Colour what is printed: auto, always or never. Default, or auto: as NO_COLOR, FORCE_COLOR and "
                "CLICOLOR say, or else on a terminal."
            ),
        ),
    ]


def _settle(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Take what an option says; the group's options hold for the command, whose own say more."""
    outermost = context.parent is None
    if outermost and not context.meta.get(__name__):
        context.meta[__name__] = True
        _CURRENT.set(Manner())
        let_libraries_speak(spoken=False)
    if not value or parameter.name is None:
        return
    manner = replace(_CURRENT.get(), **{parameter.name: value})
    if manner.quiet and manner.verbose:
        raise click.UsageError("--quiet says less and --verbose says more: give one of them", context)
    _CURRENT.set(manner)
    let_libraries_speak(spoken=manner.verbose)
