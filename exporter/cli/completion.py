"""What shells complete beside commands and options: architectures, tasks, families, rules and files.

A shell starts the command anew at every press of a key, so nothing is read here but names of files and the vocabulary
of tasks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from exporter.language.catalog import family_names, list_specs, load_tasks
from exporter.language.findings import RULES
from exporter.language.spec import WITH_PAST

Items = list[CompletionItem]
# Set by the script of a shell that asks.
ASKED = "_EXPORTER_COMPLETE"
_MAX_HELP = 80


class _Bash(BashComplete):
    """Bash gives ``--task=fi`` as three words, of which the middle one is of no use to anybody."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        words, incomplete = super().get_completion_args()
        return [word for word in words if word != "="], incomplete


def prepare_completion() -> None:
    """Complete for a shell that asks, in each in the way its words come."""
    if ASKED in os.environ:
        add_completion_class(_Bash)


def complete_names(incomplete: str, described: Iterable[tuple[str, str | None]]) -> Items:
    """Return the names that begin with the last of some words with commas between, after the words before it."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}", help=None if text is None else text[:_MAX_HELP])
        for name, text in described
        if name.startswith(last)
    ]


def complete_tasks(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete tasks by their Hub names; the forms with past, which few tasks have, once the name is there."""
    last = incomplete.rpartition(",")[2]
    tasks = [(task.name, task.description) for task in load_tasks().values()]
    cached = [(name + WITH_PAST, f"{text}, with a cache") for name, text in tasks if last.startswith(name)]
    return complete_names(incomplete, [*tasks, *cached])


def complete_families(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete families of the catalogue, and those of ``specs`` here."""
    return complete_names(incomplete, ((name, None) for name in family_names(Path("specs") / "a.yaml")))


def complete_rules(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete rules by name, and by code where a code was begun."""
    by_code = incomplete.startswith("EXP")
    rules = sorted(RULES.values(), key=lambda rule: rule.code)
    return complete_names(incomplete, ((r.code, r.name) if by_code else (r.name, r.code) for r in rules))


def complete_specs(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete architectures, and documents and directories here; what begins like a path, as the shell does.

    A shell that is told to complete files forgets the names it was given, so both come as names.
    """
    architectures = [path.stem for path in list_specs() if path.stem.startswith(incomplete)]
    if os.sep in incomplete or incomplete.startswith((".", "~")) or not architectures:
        return [CompletionItem(incomplete, type="file")]
    here = sorted(
        f"{path.name}{os.sep}" if path.is_dir() else path.name
        for path in Path().iterdir()
        if path.name.startswith(incomplete)
        and not path.name.startswith(".")
        and (path.is_dir() or path.suffix in (".yaml", ".yml"))
    )
    return complete_names(incomplete, ((name, None) for name in (*architectures, *here)))


def complete_directory(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Let the shell complete a directory, as that of a checkpoint."""
    return [CompletionItem(incomplete, type="dir")]
