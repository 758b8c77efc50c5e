"""A verification in a process of its own: its report, its errors, and what is said where the process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import REPOSITORY, offline_environment

from exporter.cli.containment import verify_contained
from exporter.verification.report import Comparison, Report

COMPARISON = Comparison("model", "logits", "trace", {"batch": 2}, 0, (2, 3), share=0.5, magnitude=2.0)
REPORT = Report("stub 1", 1e-5, 1e-5, (COMPARISON,), (), remarks=("a remark",))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


def run(body: str, folder: Path, *, before: str = "", also: str = "") -> subprocess.CompletedProcess[str]:
    """Run a verification, which is the body of a function, in a process that has loaded nothing else.

    Args:
        body: the statements.
        folder: the artifact.
        before: what the process does first.
        also: more arguments for `verify_contained`.
    """
    program = f"""
import os, signal, sys
from pathlib import Path
from exporter.cli import containment
from exporter.errors import CheckpointError, ExporterError
from exporter.verification.report import Report

def verify(progress):
    assert os.getpid() != {{parent}}
{textwrap.indent(textwrap.dedent(body), "    ")}

containment._SECONDS = 2.0
{before}
try:
    report = containment.verify_contained(verify, Path({str(folder)!r}), limited=True, {also})
    print(report)
except ExporterError as error:
    print(type(error).__name__, error.message, error.help, sep="|")
""".replace("{parent}", "PARENT")
    return subprocess.run(
        [sys.executable, "-c", "import os; PARENT = os.getpid()\n" + program],
        cwd=REPOSITORY,
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_report_comes_back(tmp_path: Path) -> None:
    done = run('return Report("stub", 1e-5, 0.0, (), ("a problem",), remarks=("a remark",))', tmp_path)
    assert done.stdout.startswith("Report(runtime='stub'"), done
    assert "'a problem'" in done.stdout
    assert "'a remark'" in done.stdout


def test_an_error_comes_back_as_what_it_was(tmp_path: Path) -> None:
    done = run('raise CheckpointError("no such weights", help="give others")', tmp_path)
    assert done.stdout == "CheckpointError|no such weights|give others\n", done


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGFPE"])
def test_a_process_that_is_killed_is_told(name: str, tmp_path: Path) -> None:
    done = run(f"os.kill(os.getpid(), signal.{name})", tmp_path)
    assert done.stdout.startswith(f"ExportError|the process that ran the artifact's graphs was ended by {name}"), done
    assert ("memory" in done.stdout) == (name == "SIGKILL")


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    done = run("while True: pass", tmp_path)
    assert "the artifact's graphs did not end in 2 seconds" in done.stdout, done


def test_memory_beyond_what_there_is_is_refused(tmp_path: Path) -> None:
    done = run(
        """
        try:
            bytearray(1 << 46)
        except MemoryError:
            raise CheckpointError("refused") from None
        """,
        tmp_path,
    )
    assert done.stdout.startswith("CheckpointError|refused"), done


def test_a_bug_comes_back_with_its_traceback(tmp_path: Path) -> None:
    done = run("raise ZeroDivisionError('by zero')", tmp_path)
    assert done.returncode == 1, done
    assert "ContainedBugError: ZeroDivisionError: by zero" in done.stderr
    assert "in verify" in done.stderr


def test_its_steps_come_as_it_takes_them_and_what_libraries_print_comes_apart(tmp_path: Path) -> None:
    program = """
from exporter.steps import Step
progress(Step("verifying \\u00e9", 3, 8))
print("printed by a library", flush=True)
os.write(2, b"and by its native part")
return Report("stub", 1e-5, 0.0, (), ())
"""
    done = run(
        program,
        tmp_path,
        also="progress=lambda step: print('step', step, getattr(step, 'done', None)), heard=lambda text: print([text])",
    )
    steps, heard = (
        ["step opening the artifact None", "step verifying é 3"],
        "printed by a library\nand by its native part",
    )
    assert done.stdout.splitlines()[:3] == [*steps, str([heard])], done
    assert done.stderr == ""


def test_it_is_contained_in_a_command_whose_signals_are_watched(tmp_path: Path) -> None:
    """The thread that ends a command late is none that a verification could be harmed by."""
    done = run(
        "os.kill(os.getpid(), signal.SIGSEGV)",
        tmp_path,
        before="from exporter.cli.ending import told_to_end; watched = told_to_end(); watched.__enter__()",
    )
    assert done.stdout.startswith("ExportError|the process that ran the artifact's graphs was ended by SIGSEGV"), done


def test_a_signal_for_it_alone_ends_it_alone(tmp_path: Path) -> None:
    done = run(
        "os.kill(os.getpid(), signal.SIGTERM)",
        tmp_path,
        before="from exporter.cli.ending import told_to_end; watched = told_to_end(); watched.__enter__()",
    )
    assert done.stdout.startswith("ExportError|the process that ran the artifact's graphs was ended by SIGTERM"), done
    assert done.returncode == 0


def test_where_threads_run_it_is_not_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it was forked"))
    assert verify_contained(lambda _: REPORT, tmp_path, limited=True) is REPORT
