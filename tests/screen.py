"""A terminal as a person sees it: what a program printed, drawn; and a way to run a program in one.

It knows what rich prints and nothing else: a sequence that it does not know fails the test.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(r"\x1b\[(?P<args>[?\d;]*)(?P<final>[A-Za-z])|(?P<char>[^\x1b])", re.DOTALL)


class Screen:
    """A screen of unlimited height.

    Attributes:
        is_cursor_shown: whether the cursor is there.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.is_cursor_shown = True
        self._rows: list[list[str]] = [[]]
        # Rows that the terminal, and not the program, has begun.
        self._wrapped: set[int] = set()
        self._x = self._y = 0

    def feed(self, text: str) -> None:
        """Draw what a program printed."""
        end = 0
        for token in TOKEN.finditer(text):
            assert token.start() == end, f"unknown sequence: {text[end : end + 20]!r}"
            end = token.end()
            if token["char"] is not None:
                self._put(token["char"])
            else:
                self._obey(token["args"], token["final"])
        assert end == len(text), f"unknown sequence: {text[end : end + 20]!r}"

    @property
    def rows(self) -> list[str]:
        """What is in each row, without the empty rows at the end."""
        return "\n".join("".join(row).rstrip() for row in self._rows).rstrip().split("\n")

    @property
    def lines(self) -> list[str]:
        """The lines that were printed, each of one row or of several that it was wrapped into."""
        lines: list[str] = []
        for number, row in enumerate(self._rows):
            if number in self._wrapped:
                lines[-1] += "".join(row)
            else:
                lines.append("".join(row))
        return "\n".join(line.rstrip() for line in lines).rstrip().split("\n")

    def _put(self, char: str) -> None:
        if char == "\r":
            self._x = 0
        elif char == "\n":
            self._down(wrapped=False)
        else:
            assert char.isprintable(), f"unknown character {char!r}"
            if self._x == self.columns:
                self._x = 0
                self._down(wrapped=True)
            row = self._rows[self._y]
            row += " " * (self._x + 1 - len(row))
            row[self._x] = char
            self._x += 1

    def _down(self, *, wrapped: bool) -> None:
        self._y += 1
        if self._y == len(self._rows):
            self._rows.append([])
        if wrapped:
            self._wrapped.add(self._y)
        else:
            self._wrapped.discard(self._y)

    def _obey(self, arguments: str, final: str) -> None:
        count = int(arguments) if arguments.isdigit() else 1
        match arguments, final:
            case _, "m":
                pass
            case _, "A":
                self._y = max(self._y - count, 0)
            case "2", "K":
                self._rows[self._y] = []
            case "" | "0", "K":
                self._rows[self._y] = self._rows[self._y][: self._x]
            case "?25", "h" | "l":
                self.is_cursor_shown = final == "h"
            case _:
                raise AssertionError(f"unknown sequence: {arguments}{final}")


@dataclass(frozen=True)
class Ran:
    """What a program did in a terminal.

    Attributes:
        code: its exit code.
        text: all that it printed.
        screen: what is to be seen at the end.
        is_sane: whether the terminal is set as it was before.
    """

    code: int
    text: str
    screen: Screen
    is_sane: bool


def run_in_terminal(
    command: list[str], columns: int, *, cwd: Path, env: dict[str, str], interrupt_at: str | None = None
) -> Ran:
    """Run a program in a terminal of its own, and press ^C when it has printed some text.

    The variables that say how wide a terminal is are not set.
    """
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    printed, deadline = b"", time.monotonic() + 200
    try:
        while process.poll() is None or select.select([ours], [], [], 0.1)[0]:
            assert time.monotonic() < deadline, printed
            if select.select([ours], [], [], 0.1)[0]:
                printed += os.read(ours, 1 << 16)
            if interrupt_at is not None and interrupt_at.encode() in printed:
                os.write(ours, b"\x03")
                interrupt_at = None
        is_sane = termios.tcgetattr(its) == before
    finally:
        process.kill()
        process.wait()
        os.close(its)
        os.close(ours)
    text = printed.decode()
    screen = Screen(columns)
    screen.feed(text)
    return Ran(process.returncode, text, screen, is_sane)
