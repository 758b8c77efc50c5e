"""docs/first-model.md, from top to bottom: its programs are saved, its commands run, and they print what is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from commands import REPOSITORY, offline_environment

PAGE = (REPOSITORY / "docs" / "first-model.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# The reader of the test has it installed.
INSTALL = "pip install -c constraints.txt '.[build]'\n"


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_step_does_what_it_shows(tmp_path: Path):
    # `exporter` and `python` are those of this environment.
    programs = tmp_path / "bin"
    programs.mkdir()
    exporter, python = programs / "exporter", programs / "python"
    exporter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exporter.cli "$@"\n', "utf-8")
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
    for program in (exporter, python):
        program.chmod(0o755)
    environment = offline_environment()
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    place = tmp_path / "work"
    place.mkdir()
    printed, shown = "", 0
    for language, code in BLOCKS:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            assert name, code
            (place / name[1]).write_text(code, "utf-8")
        elif language == "bash":
            done = subprocess.run(
                ["sh", "-e", "-c", code.removeprefix(INSTALL)],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            printed = words(done.stdout + done.stderr)
            assert done.returncode == 0, f"{code}\n{printed}"
        else:
            shown += 1
            for line in code.splitlines():
                assert words(line) in printed, f"{line}\nis not in\n{printed}"
    assert shown >= 5
    assert PAGE.count(INSTALL) == 1
    assert sorted(path.name for path in place.iterdir()) == sorted(
        ["train.py", "run.py", "mood", "mood-onnx", "mood-script", "mood-half"]
    )
    shutil.rmtree(place)
