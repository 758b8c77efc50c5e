"""The command line as a whole: hostile documents, errors and their exit codes, and how it is started."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run, assert_clean_failure, offline_environment

from exporter import api
from exporter.cli.main import cli, find_failure, main
from exporter.errors import CheckpointError, EngineError, ExporterError, UsageError
from exporter.versions import DISTRIBUTION, installed_version

SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""

# Documents


def alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


HOSTILE = {
    "alias-bomb": (alias_bomb(), "forbidden-yaml"),
    "python-tag": (b"spec_version: !!python/object/apply:os.system ['touch marker']\n", "forbidden-yaml"),
    "custom-tag": (SPEC.replace("example", "!x example").encode(), "forbidden-yaml"),
    "merge-key": (SPEC.encode() + b"<<: {x: 1}\n", "forbidden-yaml"),
    "ten-megabytes": (SPEC.encode() + b"# " + b"x" * 10_000_000, "forbidden-yaml"),
    "deep-nesting": (b"reference: " + b"[" * 100_000, "forbidden-yaml"),
    "deep-mappings": (b"a: " + b"{a: " * 5000, "forbidden-yaml"),
    "nul-bytes": (SPEC.replace("example", "exa\0mple").encode(), "forbidden-yaml"),
    "escapes": (SPEC.replace("example", "\x1b]0;owned\x07example").encode(), "forbidden-yaml"),
    "not-utf-8": (SPEC.replace("example", "exämple").encode("latin-1"), "yaml-syntax"),
    "utf-16": (SPEC.encode("utf-16"), "yaml-syntax"),
    "binary": (bytes(range(256)) * 40, "yaml-syntax"),
    "unclosed": (SPEC.encode() + b"dims: {a: [1, 2\n", "yaml-syntax"),
    "tabs": (SPEC.replace("  fill-mask", "\tfill-mask").encode(), "yaml-syntax"),
    "empty": (b"", "wrong-type"),
    "list": (b"- 1\n- 2\n", "wrong-type"),
    "scalar": (b"hello\n", "wrong-type"),
    "two-documents": (SPEC.encode() + b"---\na: 1\n", "forbidden-yaml"),
    "duplicate-key": (SPEC.encode() + b"extends: decoder\n", "duplicate-key"),
    "path-as-family": (SPEC.replace("encoder", "../../../etc/passwd").encode(), "wrong-value"),
}


@pytest.mark.parametrize("command", ["lint", "show", "plan", "build"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents(
    name: str, command: str, tmp_path: Path, refuse: Callable[..., str], intact: Callable[[], None]
):
    text, rule = HOSTILE[name]
    (tmp_path / "example.yaml").write_bytes(text)
    said = refuse(1, command, "example.yaml", *(["-o", "out/artifact"] if command == "build" else []))
    assert f"[{rule}]" in said
    assert "example.yaml" in said
    # No flood, and nothing that a terminal would obey.
    assert len(said) < 5000
    assert "\x1b" not in said
    assert not (tmp_path / "marker").exists()
    intact()


def test_hostile_documents_take_no_time(tmp_path: Path, run: Run):
    for name, (text, _) in HOSTILE.items():
        (tmp_path / f"{name}.yaml").write_bytes(text)
    before = os.times()
    assert_clean_failure(run("lint", "."), 1)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 3


@pytest.mark.parametrize("arguments", ["list --json", "frobnicate", "show nothing-of-the-kind"])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: str, tmp_path: Path):
    """Both streams are read by one program, as with ``2>&1 | head``; and by one that reads the output alone."""
    for errors in (subprocess.PIPE, subprocess.STDOUT):
        with subprocess.Popen(
            [sys.executable, "-m", "exporter.cli", *arguments.split()],
            cwd=tmp_path,
            env=offline_environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            said = process.stderr.read() if process.stderr is not None else ""
            assert process.wait(60) in (0, 1, 2)
        assert "Traceback" not in said
        assert "Exception ignored" not in said


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "code"), [("list", 0), ("show nothing-of-the-kind", 2), ("lint bert", 0)])
def test_streams_that_are_closed_are_no_error(closed: str, arguments: str, code: int, tmp_path: Path):
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m exporter.cli {arguments} {closed}'],
        cwd=tmp_path,
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_is_full_is_told(tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exporter.cli", "list"],
            cwd=tmp_path,
            env=offline_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no room to write: No space left on device")
    assert "Traceback" not in done.stderr


# Errors and exit codes


def leave(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run a command in which an error is raised, and return its exit code."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(api, "load_specs", fail)
    monkeypatch.setattr(sys, "argv", ["exporter", "list"])
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no such thing", help="look again"), 2, "error: no such thing\n  = help: look again\n"),
        (CheckpointError("it is truncated"), 1, "error: it is truncated\n"),
        (EngineError("the worker is gone"), 3, "error: the worker is gone\n"),
        # After a ^C that the terminal shows, a new line.
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_an_error_is_told_and_has_its_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert leave(monkeypatch, error) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("error", "said"),
    [(ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"), (AssertionError(), "AssertionError")],
)
def test_a_bug_names_its_log(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert leave(monkeypatch, error) == 3
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"a bug in exporter: {said}"
    log = Path(second.removeprefix("  = help: please report it with the log: "))
    text = log.read_text("utf-8")
    log.unlink()
    assert text.startswith(f"exporter {installed_version()}, Python ")
    assert "Traceback (most recent call last):" in text


@pytest.mark.parametrize("command", ["list folder", "show locked.yaml", "plan locked.yaml", "lint locked.yaml"])
def test_a_file_that_may_not_be_read_is_no_bug(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: Callable[..., str]
):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder" / "locked.yaml", tmp_path / "locked.yaml"):
        path.write_text(SPEC, "utf-8")
    opened = os.open

    def refuse_locked(path: str | Path, flags: int, *more: int) -> int:
        # The superuser may read every file, so the question is answered for it.
        if Path(path).name == "locked.yaml":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", refuse_locked)
    said = refuse(2, *command.split())
    assert re.search(r"locked\.yaml' cannot be (used|read): Permission denied", said)


def test_what_the_machine_refuses_is_told_like_a_wrong_request():
    failure = find_failure(OSError(errno.ENOSPC, "No space left on device", "out/model.onnx"))
    assert isinstance(failure, UsageError)
    assert failure.message.startswith("there is no room to write 'out/model.onnx': No space left on device; ")
    nameless = find_failure(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(nameless, UsageError)
    assert nameless.message == "there is no room to write: No space left on device"
    known = ExporterError("it failed")
    assert find_failure(known) is known
    # That a file of ours is not there is our mistake.
    assert find_failure(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")) is None
    assert find_failure(ValueError("x")) is None


@pytest.mark.parametrize(
    ("arguments", "said"), [(["frobnicate"], "No such command"), (["--frobnicate"], "No such option")]
)
def test_a_command_that_there_is_not_is_refused(arguments: list[str], said: str, refuse: Callable[..., str]):
    assert said in refuse(2, *arguments)


# Starting


@pytest.mark.parametrize("module", ["exporter", "exporter.cli"])
def test_a_module_is_the_command_line(module: str, tmp_path: Path):
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *arguments]
        environment = offline_environment()
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    shown = start("--version")
    assert (shown.returncode, shown.stdout) == (0, f"exporter, version {installed_version()}\n")
    refused = start("explain", "unknown-dimm")
    assert refused.returncode == 2
    assert refused.stderr == "error: there is no rule 'unknown-dimm'\n  = help: did you mean 'unknown-dim'?\n"


def test_the_version_is_read_when_it_is_shown(monkeypatch: pytest.MonkeyPatch, invoke):
    asked: list[str] = []

    def version(package: str = DISTRIBUTION) -> str:
        asked.append(package)
        return "9.9"

    # `exporter.cli.main` as an attribute is the function of that name, not its module.
    monkeypatch.setattr(sys.modules[main.__module__], "installed_version", version)
    assert invoke("schema").return_value == 0
    assert invoke("--help").return_value == 0
    assert asked == []
    assert invoke("--version").stdout == "exporter, version 9.9\n"
    assert asked == [DISTRIBUTION]


def test_the_help_names_every_command(invoke):
    shown = invoke("--help").stdout
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in cli.commands)
    assert invoke("-h").stdout == shown
