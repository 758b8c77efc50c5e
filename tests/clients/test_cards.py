"""The programs that cards have for the library of their layout run as a reader would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from commands import offline_environment

from clients.conftest import TRAINED, Artifact
from clients.environments import RUN_SECONDS, Installer
from clients.test_genai import REQUIREMENTS

pytestmark = [pytest.mark.clients, pytest.mark.timeout(2400)]

START = "The old house by the river"


def program_of(directory: Path, heading: str, language: str) -> str:
    """Return the program below a heading of a card."""
    card = (directory / "README.md").read_text("utf-8")
    below = card.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (program,) = re.findall(rf"```{language}\n(.*?)```", below, re.DOTALL)
    return str(program)


def run(command: Sequence[str | Path], directory: Path, *packages: Path) -> str:
    environment = offline_environment(HF_HUB_OFFLINE="1", HF_HOME=str(directory.parent / "hub"))
    environment["PYTHONPATH"] = os.pathsep.join((*map(str, packages), environment["PYTHONPATH"]))
    done = subprocess.run(
        list(map(str, command)),
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    print(done.stdout)
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("moods", r"(glad|sad|angry)\n(glad|sad|angry)"),
        ("parts", r"logits \(1, \d+, 3\)"),
        ("sentences", r"last_hidden_state \(3, \d+, 32\)"),
        ("things", r"(cat|ship|tree)"),
        ("stories", re.escape(START)),
        ("translations", r""),
        ("recordings", r"\S"),
    ],
)
def test_optimum(
    kind: str, says: str, installer: Installer, artifact: Artifact, package: Callable[[str], Path]
) -> None:
    directory = artifact(kind)
    program = program_of(directory, "With optimum", "python")
    packages = [package("pillow")] if "from PIL" in program else []
    assert re.search(says, run([installer.optimum(), "-c", program], directory, *packages))


def test_sentence_transformers(installer: Installer, artifact: Artifact) -> None:
    directory = artifact(TRAINED, layout="sentence-transformers")
    said = run([installer.optimum(), "-c", program_of(directory, "With sentence-transformers", "python")], directory)
    rows = [list(map(float, re.findall(r"-?\d+\.\d+", line))) for line in said.splitlines()]
    assert rows[0][1] > rows[0][2] + 0.2, "a guitar is an instrument, and no bread"


def test_onnxruntime_genai(installer: Installer, artifact: Artifact) -> None:
    directory = artifact("stories", layout="genai")
    python = installer.python("genai", *REQUIREMENTS)
    said = run([python, "-c", program_of(directory, "With onnxruntime-genai", "python")], directory)
    assert said.startswith(START)
    assert len(said.strip()) > len(START)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("moods", r"label: '(glad|sad|angry)'"),
        ("parts", r"entity: '(noun|verb|name)'"),
        ("sentences", r"Tensor"),
        ("things", r"label: '(cat|ship|tree)'"),
        ("stories", re.escape(START)),
        ("translations", r"generated_text"),
        ("recordings", r"text:"),
    ],
)
def test_transformers_js(kind: str, says: str, installer: Installer, artifact: Artifact, tmp_path: Path) -> None:
    directory = tmp_path / kind
    shutil.copytree(artifact(kind, layout="transformers-js"), directory)
    (directory / "card.mjs").write_text(program_of(directory, "With transformers.js", "js"), "utf-8")
    (directory / "node_modules").symlink_to(installer.transformers_js() / "node_modules")
    assert re.search(says, run(["node", "card.mjs"], directory))
