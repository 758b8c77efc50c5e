"""A command that is told to end does so soon, with the exit code that says why, and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import offline_environment

from exporter.cli.ending import told_to_end

# Claims a directory, does what the test says until it is told to end, and leaves as the command line does.
PROGRAM = """
import sys, time
from pathlib import Path
from exporter.artifacts.claims import claimed_directory
from exporter.cli.ending import leave, told_to_end

def wait():
    print("waiting", flush=True)
    {wait}

with told_to_end() as ending:
    try:
        with claimed_directory(Path(sys.argv[1])):
            {body}
    except KeyboardInterrupt:
        print(ending.message, flush=True)
        leave(ending.exit_code)
"""


def start(folder: Path, body: str = "wait()", wait: str = "time.sleep(60)") -> subprocess.Popen[str]:
    program = PROGRAM.format(body=body, wait=wait)
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    return process


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (signal.SIGTERM, 143, "ended by SIGTERM\n"),
        (signal.SIGHUP, 129, "ended by SIGHUP\n"),
    ],
)
def test_a_signal_is_an_exit_code(number: signal.Signals, code: int, said: str, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        assert list(tmp_path.iterdir())
        process.send_signal(number)
        printed, _ = process.communicate(timeout=10)
    assert (process.returncode, printed) == (code, said)
    assert not list(tmp_path.iterdir())


def test_signals_after_the_first_change_nothing(tmp_path: Path) -> None:
    body = """
            try:
                wait()
            finally:
                print("removing", flush=True)
                time.sleep(0.5)
                print("removed", flush=True)
"""
    with start(tmp_path, body.strip()) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "removing\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        printed, _ = process.communicate(timeout=10)
    assert (process.returncode, printed) == (143, "removed\nended by SIGTERM\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wait",
    [
        # One instruction of Python that takes minutes.
        "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
        "\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass",
    ],
    ids=["in-a-call", "swallowed"],
)
def test_a_command_that_does_not_come_to_it_is_ended(wait: str, tmp_path: Path) -> None:
    with start(tmp_path, wait=wait) as process:
        process.send_signal(signal.SIGTERM)
        before = time.monotonic()
        process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - before < 10
    assert not list(tmp_path.iterdir())


def test_what_a_process_was_started_to_ignore_is_ignored(tmp_path: Path) -> None:
    """As by ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143


def test_handlers_of_others_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with told_to_end() as ending:
        assert signal.getsignal(signal.SIGTERM) != before[1]
        with told_to_end():  # a command in a program that has these handlers already
            pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (ending.signal, ending.exit_code, ending.message) == (None, 130, "interrupted")
    seen: list[object] = []

    def run() -> None:
        with told_to_end():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before[1]]


@pytest.mark.parametrize("command", ["lint specs", "list", "plan bert --task fill-mask"])
def test_commands_that_build_nothing_end_soon(command: str, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    for delay in (0.4, 1.5):
        with subprocess.Popen(
            [sys.executable, "-m", "exporter.cli", *command.split()],
            cwd=Path(__file__).parent.parent.parent,
            env=offline_environment(TMPDIR=str(tmp_path / "tmp")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            printed = "".join(process.communicate(timeout=60))
        # Before its first line has been run, or after its last, it is ended by the system.
        assert process.returncode in (143, -signal.SIGTERM, 0), printed
        assert "Traceback" not in printed
    assert not list((tmp_path / "tmp").iterdir())
