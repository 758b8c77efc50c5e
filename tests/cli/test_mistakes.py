"""What an unknown option or command was meant to be."""

from __future__ import annotations

import click
import pytest

from exporter.cli.main import cli
from exporter.cli.mistakes import suggest_by_meaning


def said(*arguments: str) -> str:
    with pytest.raises(click.ClickException) as failure:
        cli(list(arguments), standalone_mode=False)
    suggest_by_meaning(failure.value)
    return failure.value.format_message()


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("build", "--fp16"), "--dtype"),
        (("build", "--checkpoint", "x"), "--model"),
        (("build", "--precision", "half"), "--dtype"),
        (("build", "--skip-verify"), "--no-verify"),
        (("build", "--opsett", "17"), "--opset"),
        (("lint", "--exclude", "x"), "--ignore"),
        (("export",), "build"),
        (("ls",), "list"),
        (("validate",), "verify"),
        (("buld",), "build"),
    ],
)
def test_what_is_near_in_meaning_is_named(arguments: tuple[str, ...], meant: str):
    message = said(*arguments)
    assert message.startswith("No such ")
    assert meant in message.partition(".")[2]


@pytest.mark.parametrize("arguments", [("build", "--zzzz"), ("zzzz",), ("list", "--opset")])
def test_nothing_is_named_where_nothing_is_near(arguments: tuple[str, ...]):
    assert "ossible" not in said(*arguments)
    assert "Did you" not in said(*arguments)


def test_other_errors_stay_as_they_are():
    assert said("build", "--jobs", "none") == "Invalid value for '--jobs' / '-j': 'none' is not a valid integer range."
