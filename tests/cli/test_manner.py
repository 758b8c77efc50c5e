"""-q, -v and --color: of every command, before or after its name."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import Result

from exporter.cli.main import cli
from exporter.cli.manner import Manner, add_manner, say, tell
from exporter.speech import libraries_speak


@pytest.fixture
def spoken() -> Callable[..., Manner]:
    """Return how a command speaks that is run with some words."""

    def run(*words: str) -> Manner:
        heard: list[Manner] = []
        group = click.Group("group")
        command = click.Command("look", callback=lambda: heard.append(Manner.current()))
        for each in (group, command):
            add_manner(each)
        group.add_command(command)
        group.main(list(words), standalone_mode=False)
        return heard[0]

    return run


@pytest.mark.parametrize(
    ("words", "manner"),
    [
        (["look"], Manner()),
        (["-q", "look"], Manner(quiet=True)),
        (["look", "-q"], Manner(quiet=True)),
        (["--quiet", "look", "--quiet"], Manner(quiet=True)),
        (["-v", "look"], Manner(verbose=True)),
        (["look", "--verbose"], Manner(verbose=True)),
        (["--color", "never", "look"], Manner(color="never")),
        (["--color", "never", "look", "-v", "--color", "always"], Manner(verbose=True, color="always")),
    ],
)
def test_it_is_said_before_or_after_the_name(words: list[str], manner: Manner, spoken: Callable[..., Manner]):
    assert spoken(*words) == manner
    assert libraries_speak() is manner.verbose
    # One run says nothing of the next.
    assert spoken("look") == Manner()
    assert not libraries_speak()


@pytest.mark.parametrize(
    "words", [["-q", "-v", "look"], ["-q", "look", "-v"], ["look", "-v", "-q"], ["-v", "look", "-q"]]
)
def test_both_at_once_is_a_wrong_request(words: list[str], spoken: Callable[..., Manner]):
    with pytest.raises(click.UsageError, match="give one of them"):
        spoken(*words)


def test_every_command_has_the_same_three():
    for command in (cli, *cli.commands.values()):
        described = {
            name: param.help for param in command.params for name in param.opts if isinstance(param, click.Option)
        }
        assert {"-q", "--quiet", "-v", "--verbose", "--color"} <= set(described), command.name
        assert described["-q"] == {param.name: param.help for param in cli.params}["quiet"]  # type: ignore[attr-defined]


def test_colours_are_left_out_where_none_are_wanted(capsys: pytest.CaptureFixture[str], spoken: Callable[..., Manner]):
    spoken("look", "--color", "always")
    say("\x1b[1mbold\x1b[0m")
    say("\x1b[1mbold\x1b[0m", err=False)
    spoken("look")
    say("\x1b[1mbold\x1b[0m")
    captured = capsys.readouterr()
    assert captured.err == "\x1b[1mbold\x1b[0m\nbold\n"
    assert captured.out == "\x1b[1mbold\x1b[0m\n"


def test_what_nobody_needs_is_not_said_to_who_asks_for_quiet(
    capsys: pytest.CaptureFixture[str], spoken: Callable[..., Manner]
):
    spoken("look", "-q")
    tell("three files")
    say("error: none")
    assert capsys.readouterr().err == "error: none\n"


@pytest.mark.parametrize(
    ("words", "lines"),
    [(["lint", "bert"], 1), (["lint", "-q", "bert"], 0), (["-q", "list", "bert"], None), (["-q", "explain"], None)],
)
def test_results_are_printed_and_summaries_are_not(words: list[str], lines: int | None, invoke: Callable[..., Result]):
    printed = invoke(*words).stdout.splitlines()
    assert len(printed) == lines if lines is not None else printed
