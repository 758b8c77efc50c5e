"""What looks at documents costs what documents cost: no torch, no transformers, no onnx, and little time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from commands import SPECS, offline_environment

from exporter.cli.main import cli

HEAVY = [
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "onnx_ir",
    "huggingface_hub",
    "numpy",
    "safetensors",
]

# Runs commands one after another in one process, and says what each imported that it should not have.
LOOK = """
import sys
from exporter.cli import main

for line in sys.stdin.read().splitlines():
    sys.argv = ["exporter", *line.split()]
    try:
        main()
    except SystemExit as left:
        assert left.code in (0, 1), (line, left.code)
    heavy = sorted(set(sys.modules) & set(HEAVY))
    assert not heavy, f"'exporter {line}' imports {heavy}"
"""

LIGHT = (
    """
lint specs
lint specs --format json
lint specs --format sarif
list
list --json
list --markdown
show gpt2
show t5 --json
schema
schema family
schema build
schema --markdown
explain
explain unknown-dim
explain --markdown
--help
--version
""".strip().splitlines()
    + [f"{name} --help" for name in cli.commands]
)


def test_commands_that_look_at_documents_import_nothing_heavy(tmp_path: Path):
    shutil.copytree(SPECS, tmp_path / "specs")
    done = subprocess.run(
        [sys.executable, "-c", LOOK.replace("HEAVY", repr(HEAVY))],
        cwd=tmp_path,
        input="\n".join(LIGHT),
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, exporter, exporter.cli; exporter.load_spec; print(sorted(set(sys.modules) & set(HEAVY)));"
        "exporter.lint, exporter.build, exporter.verify, exporter.plan; print(sorted(set(sys.modules) & set(HEAVY)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script.replace("HEAVY", repr(HEAVY))],
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n[]\n"


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_and_option_is_described(name: str):
    command = cli.commands[name]
    assert command.help, name
    assert command.help.split("\n")[0].endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert parameter.help.endswith("."), f"{name} {parameter.opts}"


def pace() -> float:
    """Return how much slower this machine is at this moment than an idle one of today, in CPU time; at least 1."""
    start = time.process_time()
    table: dict[int, str] = {}
    for number in range(400_000):
        table[number % 1000] = str(number)
    return max(1.0, (time.process_time() - start) / 0.06)


def cpu_seconds(directory: Path) -> float:
    """Return what linting costs with compiled modules, which an installation has, whatever the tests run with."""
    compiled = offline_environment(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=str(directory / "compiled"))
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "exporter.cli", "lint", "specs"],
        cwd=directory,
        env=compiled,
        capture_output=True,
        check=False,
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_linting_costs_little(tmp_path: Path):
    """Half a second of CPU for six specs of every kind with their families.

    The best of a few runs counts: what else a machine does only adds to them.
    """
    (tmp_path / "specs" / "families").mkdir(parents=True)
    for name in ("bert", "distilbert", "roberta", "gpt2", "t5", "vit", "tasks"):
        shutil.copy(SPECS / f"{name}.yaml", tmp_path / "specs")
    for name in ("encoder", "decoder", "encoder-decoder", "image"):
        shutil.copy(SPECS / "families" / f"{name}.yaml", tmp_path / "specs" / "families")
    taken: list[float] = []
    while len(taken) < 5 and (not taken or min(taken) > 0.5):
        taken.append(cpu_seconds(tmp_path) / pace())
    assert min(taken) <= 0.5, taken


def test_linting_grows_with_the_number_of_specs(tmp_path: Path):
    """No rule compares every spec with every other: the whole catalogue costs its start and a little for each file."""
    shutil.copytree(SPECS, tmp_path / "specs")
    count = len(list((tmp_path / "specs").rglob("*.yaml")))
    taken: list[float] = []
    while len(taken) < 3 and (not taken or min(taken) > 0.5 + 0.06 * count):
        taken.append(cpu_seconds(tmp_path) / pace())
    assert min(taken) <= 0.5 + 0.06 * count, taken
