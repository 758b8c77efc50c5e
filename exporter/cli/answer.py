"""What a command answers to a program: exactly one JSON object on standard output, whatever becomes of the command.

Every answer says which command it is of, whether all is well, the exit code, and the error that kept the command from
its end. Beside these it has the command's own keys. ``schemas/output.schema.json`` is what all answers have in common,
``schemas/<command>-output.schema.json`` is that of one command.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

Command = Callable[..., Any]
# Told of an exit code and the error, as `render.machine.describe_failure` gives it.
Listener = Callable[[int, dict[str, Any]], None]
# How long a command that is told to end waits for an answer that is being printed.
_PATIENCE_SECONDS = 1.0


def json_option(what: str) -> Callable[[Command], Command]:
    """Add ``--json``, which a command gets as ``as_json``.

    Args:
        what: what the answer has: ``the plans``.
    """
    help_ = f"Print one JSON object: {what}, or the error. 'exporter schema COMMAND-output' describes it."
    return click.option("--json", "as_json", is_flag=True, help=help_)


class Answer:
    """The answer of one run of the command line.

    Attributes:
        command: the name of the command; None where there is none of that name.
        wanted: whether a program is to be answered: ``--json`` is among the words.
        junit: the file of the report that is asked for, as far as the words say.
        listener: is told of the error that ends the command, beside the program that is answered.
    """

    def __init__(self, command: str | None = None, *, wanted: bool = False, junit: str | None = None) -> None:
        self.command = command
        self.wanted = wanted
        self.junit = junit
        self.listener: Listener | None = None
        self._fields: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._is_given = False

    @staticmethod
    def of_words(words: Iterable[str], commands: Iterable[str]) -> Answer:
        """Return the answer to a command line, which may be one that cannot be read.

        Args:
            words: the words after the program's name.
            commands: the names of the commands.
        """
        options = list(_until(words, "--"))
        command = next((word for word in options if word in set(commands)), None)
        pairs = itertools.pairwise(options)
        # `lint --format json` is `lint --json`.
        as_format = "--format=json" in options or ("--format", "json") in pairs
        return Answer(
            command,
            wanted="--json" in options or (command == "lint" and as_format),
            junit=next(_values(options, "--junit"), None),
        )

    @staticmethod
    def current() -> Answer:
        """Return the answer of the command that runs now."""
        context = click.get_current_context()
        answer = context.find_object(Answer)
        if answer is None:  # the command is run by another program than ours
            answer = context.obj = Answer(wanted=True)
        answer.command = context.info_name
        return answer

    @property
    def is_heard(self) -> bool:
        """Whether anybody but the user is told of errors."""
        return self.wanted or self.listener is not None

    def keep(self, **fields: Any) -> None:
        """Give an answer keys of the command's own, which it has also where the command ends in an error."""
        self._fields.update(fields)

    def give(self, exit_code: int = 0, **fields: Any) -> int:
        """Print the answer, and return the exit code.

        Args:
            exit_code: what the command leaves with; all is well where it is 0.
            fields: the command's own keys. A number that is not finite is printed as null.
        """
        self.keep(**fields)
        self._print(exit_code, None)
        return exit_code

    def fail(self, exit_code: int, error: dict[str, Any]) -> None:
        """Print the answer of a command that ends in an error, with what it had until then, where one is wanted."""
        if self.wanted:
            self._print(exit_code, error)
        if self.listener is not None:
            self.listener(exit_code, error)

    def _print(self, exit_code: int, error: dict[str, Any] | None) -> None:
        head = {"command": self.command, "ok": exit_code == 0, "exit_code": exit_code, "error": error}
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return
        try:
            if not self._is_given:
                self._is_given = True
                from exporter.cli.render.machine import to_json

                click.echo(to_json({**head, **self._fields}))
                sys.stdout.flush()
        finally:
            self._lock.release()


def _until(words: Iterable[str], end: str) -> Iterable[str]:
    for word in words:
        if word == end:
            return
        yield word


def _values(words: list[str], option: str) -> Iterator[str]:
    """Yield the values that an option is given."""
    for word, value in itertools.pairwise([*words, ""]):
        if word == option and value:
            yield value
        elif word.startswith(f"{option}="):
            yield word.partition("=")[2]
