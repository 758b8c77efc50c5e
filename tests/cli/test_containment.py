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


def run(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a verification, which is the body of a function, in a process that has loaded nothing else."""
    program = f"""
import os, signal, sys
from pathlib import Path
from exporter.cli import containment
from exporter.errors import CheckpointError, ExporterError
from exporter.verification.report import Report

def verify():
    assert os.getpid() != {{parent}}
{textwrap.indent(textwrap.dedent(body), "    ")}

containment._SECONDS = 2.0
try:
    report = containment.verify_contained(verify, Path({str(folder)!r}), limited=True)
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


def test_where_threads_run_it_is_not_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it was forked"))
    assert verify_contained(lambda: REPORT, tmp_path, limited=True) is REPORT
