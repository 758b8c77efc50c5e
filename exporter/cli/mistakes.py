"""What was meant by an option or a command that there is not, where click looks at letters alone."""

from __future__ import annotations

import click

from exporter.nearness import nearest


def suggest_by_meaning(error: click.ClickException) -> None:
    """Let click's error about an unknown option or command name those that are near in meaning.

    The possibilities that click found by their letters are replaced. Of other errors nothing is changed.
    """
    context = getattr(error, "ctx", None)
    command = context.command if context is not None else None
    # An older click has no error of its own for commands, and says of one only that it is not there.
    unknown_command = getattr(error, "command_name", None)
    if isinstance(error, click.NoSuchOption) and command is not None:
        options = [param for param in command.params if isinstance(param, click.Option)]
        names = {name.lstrip("-"): name for option in options for name in (*option.opts, *option.secondary_opts)}
        # Final for others than click, which has looked at letters alone.
        near = nearest(error.option_name.lstrip("-"), names)
        error.possibilities = [names[name] for name in near]  # type: ignore[misc]
    elif unknown_command is not None and isinstance(command, click.Group):
        error.possibilities = list(nearest(unknown_command, command.commands))  # type: ignore[attr-defined]
