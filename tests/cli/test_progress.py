"""What is shown while a command works: lines where no terminal is, and never one written over another."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from exporter.building.requests import Build
from exporter.cli import manner, progress
from exporter.cli.manner import Manner
from exporter.cli.progress import Display, restore_terminal
from exporter.steps import Step


def other(build: Build, place: str) -> Build:
    return dataclasses.replace(build, request=dataclasses.replace(build.request, output=Path(place)))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "is_live", lambda: True)


def test_nothing_is_started_before_the_first_step(planned: Build):
    before = threading.active_count()
    with Display() as display:
        display.expect([planned])
        display.say("a line")
        assert threading.active_count() == before
        display.show("working")
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_elsewhere_steps_are_silent_and_lines_are_lines(planned: Build, capsys: pytest.CaptureFixture[str]):
    with Display() as display:
        display.expect([planned])
        display.show_build(planned, Step("verifying", 3, 8))
        display.tell("✓ bert")
        display.print("the result")
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == ("✓ bert\n", "the result\n")


def test_a_long_silence_is_broken_by_one_line(planned: Build, capsys: pytest.CaptureFixture[str]):
    with Display(silence=0.6) as display:
        display.expect([planned, other(planned, "b")])
        display.show_build(planned, Step("verifying \x1b[2J", 3, 8))
        time.sleep(0.3)
        display.say("a line")
        time.sleep(0.4)
        assert capsys.readouterr().err == "a line\n"
        time.sleep(0.5)
        assert capsys.readouterr().err == (
            "… 0:00  bert fill-mask: verifying \\u001b[2J, 3 of 8; 0 of 2 builds ended\n"
        )
    time.sleep(0.7)
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing_but_what_one_needs(planned: Build, capsys: pytest.CaptureFixture[str]):
    manner._CURRENT.set(Manner(quiet=True))
    before = threading.active_count()
    with Display(silence=0.05) as display:
        display.show_build(planned, "exporting")
        display.tell("✓ bert")
        display.say("✗ gpt2")
        time.sleep(0.2)
        assert threading.active_count() == before
    assert capsys.readouterr().err == "✗ gpt2\n"


def test_verbose_says_each_step_once(planned: Build, capsys: pytest.CaptureFixture[str]):
    manner._CURRENT.set(Manner(verbose=True))
    with Display() as display:
        for text in ("exporting", Step("verifying", 0, 2), Step("verifying", 1, 2)):
            display.show_build(planned, text)
        display.hear("one warning\n\x1b]0;title\n")
        display.hear("")
    assert capsys.readouterr().err.splitlines() == [
        "   0:00  bert fill-mask: exporting",
        "   0:00  bert fill-mask: verifying",
        "    | one warning",
        "    | \\u001b]0;title",
    ]


def test_builds_are_counted_as_they_end(planned: Build):
    second = other(planned, "b")
    with Display() as display:
        display.expect([planned, second], jobs=2)
        for build in (planned, second):
            display.show_build(build, Step("verifying", 1, 4))
        glance = display.glance()
        assert [(work.title, work.done, work.total) for work in glance.works] == [("bert fill-mask", 1, 4)] * 2
        assert (glance.done, glance.total, glance.left) == (0, 2, "")
        display.end_build(planned)
        assert (display.glance().done, len(display.glance().works)) == (1, 1)
        assert display.glance().left
        display.end_running()
        assert (display.glance().done, display.glance().works) == (2, ())


@pytest.mark.usefixtures("terminal")
def test_a_terminal_is_live_but_where_a_line_is_printed(planned: Build, capsys: pytest.CaptureFixture[str]):
    with Display() as display:
        display.expect([planned])
        display.show_build(planned, Step("verifying", 3, 8))
        assert "3/8" in capsys.readouterr().err
        assert display._bars is not None
        display.print("the result")
        captured = capsys.readouterr()
        assert captured.out == "the result\n"
        # It was taken away before the line, and is there again.
        assert captured.err.index("\x1b[?25h") < captured.err.rindex("\x1b[?25l")
        display.say("✓ bert")
        assert "✓ bert" in capsys.readouterr().err
    assert "\x1b[?25h" in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_the_cursor_is_shown_again_where_a_display_does_not_come_to_its_end(
    planned: Build, capfdbinary: pytest.CaptureFixture[bytes]
):
    with Display() as display:
        display.show_build(planned, "exporting")
        capfdbinary.readouterr()
        restore_terminal()
        assert b"\x1b[?25h" in capfdbinary.readouterr().err
    capfdbinary.readouterr()
    restore_terminal()
    assert capfdbinary.readouterr().err == b""
