"""Whether a command colours what it prints, decided for every command and both streams in one place.

What says so first decides: ``--color``, ``NO_COLOR``, ``FORCE_COLOR`` and ``CLICOLOR_FORCE``, ``CLICOLOR=0``,
``TERM=dumb``, and at last whether the stream is a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

import click

Choice = Literal["auto", "always", "never"]
CHOICES: tuple[Choice, ...] = ("auto", "always", "never")
# The variables that force colours, where they are set to anything but nothing and 0.
_FORCING = ("FORCE_COLOR", "CLICOLOR_FORCE")
_MARKS = {"✓": "green", "✗": "red", "!": "yellow"}


def wants_color(choice: Choice, stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether what is printed to a stream is coloured.

    Args:
        choice: what ``--color`` was given.
        stream: where it is printed.
        environment: variables and their values.
    """
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in _FORCING):
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("FORCE_COLOR") == "0":
        return False
    return environment.get("TERM") != "dumb" and is_terminal(stream)


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal; one that is closed is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def is_live(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether standard error is a terminal whose cursor can be moved."""
    return is_terminal(sys.stderr) and environment.get("TERM", "dumb") != "dumb"


def paint_mark(line: str) -> str:
    """Return a line with the colour of the mark it begins with, if it begins with one."""
    mark = line.lstrip()[:1]
    if mark not in _MARKS or mark == "":
        return line
    return line.replace(mark, paint(mark, fg=_MARKS[mark], bold=True), 1)


def paint(text: str, *, fg: str | None = None, bold: bool = False) -> str:
    """Return a text with a colour, which `exporter.cli.manner.say` leaves out where none is wanted."""
    return click.style(text, fg=fg, bold=bold or None)
