"""Colours: what says so first decides."""

from __future__ import annotations

import io
import sys

import pytest

from exporter.cli.color import Choice, is_live, paint, paint_mark, wants_color


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


TERM = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "piped"),
    [
        ("auto", TERM, True, False),
        ("auto", {}, True, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        # Nothing is no value of NO_COLOR.
        ("auto", {**TERM, "NO_COLOR": ""}, True, False),
        ("auto", {"FORCE_COLOR": "1", "CLICOLOR": "0", "TERM": "dumb"}, True, True),
        ("auto", {"FORCE_COLOR": "true"}, True, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, True, True),
        ("auto", {**TERM, "CLICOLOR_FORCE": "0"}, True, False),
        ("auto", {**TERM, "FORCE_COLOR": "0"}, False, False),
        ("auto", {**TERM, "CLICOLOR": "0"}, False, False),
        ("auto", {**TERM, "CLICOLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
    ],
)
def test_what_says_so_first_decides(choice: Choice, environment: dict[str, str], terminal: bool, piped: bool):
    assert wants_color(choice, Terminal(), environment) is terminal
    assert wants_color(choice, io.StringIO(), environment) is piped


def test_a_closed_stream_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    assert not wants_color("auto", stream, TERM)


@pytest.mark.parametrize(("environment", "live"), [(TERM, True), ({"TERM": "dumb"}, False), ({}, False)])
def test_only_a_terminal_that_moves_its_cursor_is_live(
    environment: dict[str, str], live: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_live(environment) is live
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_live(environment)


def test_only_the_mark_of_a_line_has_its_colour():
    assert paint_mark("✓ bert ✓") == "\x1b[32m\x1b[1m✓\x1b[0m bert ✓"
    assert paint_mark("  ✗ torch") == "  \x1b[31m\x1b[1m✗\x1b[0m torch"
    assert paint_mark("- openvino") == "- openvino"
    assert paint_mark("") == ""
    assert paint("a", fg="red") == "\x1b[31ma\x1b[0m"
