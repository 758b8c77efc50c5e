"""Commands in a real terminal, narrow and wide, and without one: nothing is written over, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import offline_environment
from screen import Ran, Screen, run_in_terminal

EXPORTER = [sys.executable, "-m", "exporter"]
BUILD = [*EXPORTER, "build", "bert", "--task", "fill-mask,feature-extraction", "-o"]
BROKEN = "spec_version: 1\narchitecture: bert\nextends: encoder\ntasks: {fill-maks: {}}\n"
ESCAPE = "\x1b"


def terminal_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a terminal that says nothing of colours."""
    return offline_environment(**{"TERM": "xterm-256color", "NO_COLOR": "", **extra})


def pipe(command: list[str], place: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=place,
        env=terminal_environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )


def frames(ran: Ran) -> list[str]:
    """Return what the screen showed each time that a frame was drawn."""
    shown: list[str] = []
    screen = Screen(ran.screen.columns)
    for part in re.split(r"(?=\r\x1b\[2K)", ran.text):
        screen.feed(part)
        shown.append("\n".join(screen.rows))
    return shown


def check_lines(ran: Ran) -> None:
    """Check that two builds leave their lines, and nothing else."""
    lines = ran.screen.lines
    assert lines[0].startswith("Building bert from its reference, a tiny model with random weights"), lines
    assert lines[1] == "  tasks: fill-mask, feature-extraction (asked for)"
    end = r"  [\d.]+ s  verified, largest difference \d+% of its bound  → out/"
    for line, task in zip(lines[2:4], ("fill-mask", "feature-extraction"), strict=True):
        assert re.fullmatch(f"✓ bert {task}{end}{task}", line)
    assert lines[4].startswith("out/fill-mask  (BertForMaskedLM, float32")
    assert lines[-1] == "2 built, 0 failed"
    assert not any(word in line for line in lines for word in ("builds ended", "━", "starting", "exporting"))


def check_frames(ran: Ran) -> None:
    """Check that two builds show their steps, how far they are, and what is left."""
    shown = frames(ran)
    assert any("0 of 2 builds ended" in frame and "bert fill-mask: starting PyTorch" in frame for frame in shown)
    assert any("bert fill-mask: exporting model" in frame for frame in shown)
    # The second takes as long as the first; before that nobody knows.
    after = [frame for frame in shown if "1 of 2 builds ended" in frame]
    assert any(" left" in frame or "soon done" in frame for frame in after)
    assert not any(" left" in frame for frame in shown if "0 of 2 builds ended" in frame)
    assert all("✓ bert fill-mask" in frame for frame in after)
    live = [row for frame in shown for row in frame.split("\n") if "━" in row]
    assert live
    assert max(map(len, live)) <= ran.screen.columns


def check_verification(artifact: Path, columns: int) -> None:
    """Check that a verification counts, and leaves in a terminal what a pipe gets."""
    command = [*EXPORTER, "verify", str(artifact)]
    piped = pipe(command, artifact)
    assert ESCAPE not in piped.stdout
    assert "\r" not in piped.stdout
    for term in ("xterm-256color", "dumb"):
        seen = run_in_terminal(command, columns, cwd=artifact, env=terminal_environment(TERM=term))
        assert (seen.code, seen.is_sane, seen.screen.is_cursor_shown) == (0, True, True), seen.text
        assert "\n".join(seen.screen.lines) + "\n" == piped.stdout
        assert (ESCAPE not in seen.text) is (term == "dumb")
        assert any("opening the artifact" in frame for frame in frames(seen)) is (term != "dumb")
    if shutil.which("tmux") is not None:
        shown, cursor = show_in_tmux(f"{' '.join(command)} --color never", columns)
        assert shown == [*piped.stdout.splitlines(), "left 0"]
        assert cursor == "1"


def show_in_tmux(command: str, columns: int) -> tuple[list[str], str]:
    """Return the lines that a command leaves in tmux, and whether the cursor is there."""
    tmux = ["tmux", "-L", f"exporter-{os.getpid()}-{columns}", "-f", "/dev/null"]

    def ask(*words: str) -> str:
        done = subprocess.run(
            [*tmux, *words], env=terminal_environment(), capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.rstrip()

    ask("new-session", "-d", "-x", str(columns), "-y", "45", f"{command}; echo left $?; sleep 60")
    try:
        shown, deadline = "", time.monotonic() + 60
        while "left " not in shown and time.monotonic() < deadline:
            time.sleep(0.2)
            shown = ask("capture-pane", "-p", "-J")
        return [line.rstrip() for line in shown.splitlines()], ask("display-message", "-p", "#{cursor_flag}")
    finally:
        ask("kill-server")


def check_json(artifact: Path) -> None:
    """Check that the object alone is on standard output, also where colours are forced and steps are said."""
    shell = f"{' '.join(EXPORTER)} --color always -v verify {artifact} --json > answer.json"
    ran = run_in_terminal(["sh", "-c", shell], 60, cwd=artifact.parent, env=terminal_environment())
    assert ran.code == 0
    answer = (artifact.parent / "answer.json").read_text("utf-8")
    assert json.loads(answer)["ok"] is True
    assert ESCAPE not in answer
    assert "verifying model" in "\n".join(ran.screen.lines)


@pytest.mark.parametrize("columns", [60, 120])
def test_builds_and_verifications_write_over_nothing(columns: int, tmp_path: Path):
    """One test, since each of the builds takes several seconds."""
    environment = terminal_environment(EXPORTER_CACHE=str(tmp_path / "cache"))
    ran = run_in_terminal([*BUILD, "out"], columns, cwd=tmp_path, env=environment)
    assert (ran.code, ran.is_sane, ran.screen.is_cursor_shown) == (0, True, True), ran.text
    check_lines(ran)
    check_frames(ran)
    check_verification(tmp_path / "out" / "fill-mask", columns)
    check_json(tmp_path / "out" / "fill-mask")


@pytest.mark.parametrize("columns", [60, 120])
def test_an_interrupt_leaves_a_terminal_as_it_was(columns: int, tmp_path: Path):
    command = [*BUILD, "out"]
    ran = run_in_terminal(command, columns, cwd=tmp_path, env=terminal_environment(), interrupt_at="0:01")
    assert (ran.code, ran.is_sane, ran.screen.is_cursor_shown) == (130, True, True), ran.text
    assert ran.screen.rows[-1] == "interrupted"
    assert "Traceback" not in ran.text
    assert not any("builds ended" in row or "━" in row for row in ran.screen.rows), ran.screen.rows
    assert not (tmp_path / "out").exists()


def test_a_pipe_gets_lines(tmp_path: Path):
    ran = pipe([*EXPORTER, "build", "bert", "--task", "fill-mask", "-o", "out"], tmp_path)
    assert ran.returncode == 0
    assert ESCAPE not in ran.stdout
    assert "\r" not in ran.stdout
    assert "starting" not in ran.stdout
    assert ran.stdout.count("✓ bert") == 1


@pytest.mark.parametrize(
    ("extra", "arguments", "terminal", "piped"),
    [
        ({}, [], True, False),
        ({"NO_COLOR": "1"}, [], False, False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True, True),
        ({"FORCE_COLOR": "1"}, [], True, True),
        ({"CLICOLOR_FORCE": "1"}, [], True, True),
        ({"CLICOLOR": "0"}, [], False, False),
        ({"TERM": "dumb"}, [], False, False),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False, False),
    ],
)
def test_findings_and_errors_are_coloured_where_that_is_wanted(
    extra: dict[str, str], arguments: list[str], terminal: bool, piped: bool, tmp_path: Path
):
    (tmp_path / "bert.yaml").write_text(BROKEN, "utf-8")
    for command in (["lint", "bert.yaml"], ["show", "berrt"]):
        words = [*EXPORTER, *arguments, *command]
        seen = run_in_terminal(words, 80, cwd=tmp_path, env=terminal_environment(**extra))
        got = pipe(words, tmp_path, **extra)
        assert (ESCAPE in seen.text) is terminal, seen.text
        assert (ESCAPE in got.stdout) is piped, got.stdout
        assert seen.code == got.returncode != 0
        plain = re.sub(r"\x1b\[[\d;]*m", "", got.stdout)
        assert seen.screen.lines == plain.rstrip().split("\n")
