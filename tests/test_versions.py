"""Versions of packages that are installed, and of those that are not."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata as packages
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import REPOSITORY

import exporter
from exporter.cli.main import cli
from exporter.versions import (
    DISTRIBUTION,
    extras,
    find_untried,
    install_command,
    install_command_of,
    installed_version,
    untried_versions,
)

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
# What pip is told to install, with extras: a directory, or a name on the index.
_INSTALLED = re.compile(r"(?<![\w-])(checkpoint-exporter|exporter|\.)\[([\w,{}]+)\]")


def test_the_version_is_that_of_the_project():
    assert PROJECT["name"] == DISTRIBUTION
    assert installed_version() == PROJECT["version"]


def test_any_package_can_be_asked_for():
    assert installed_version("numpy") == np.__version__


def test_a_package_that_is_not_there_has_no_version():
    assert installed_version("no-such-package-here") == "unknown"


def test_an_extra_is_installed_by_the_name_on_the_index():
    assert install_command("tf") == "pip install 'checkpoint-exporter[tf]'"


def test_what_people_are_told_to_install_exists():
    """Nobody is sent to the stranger who has the name of the command on the index, or to an extra that is not there."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    files = [REPOSITORY / name for name in listed.stdout.splitlines()] or [*REPOSITORY.glob("docs/*.md")]
    told = 0
    for path in files:
        if path.suffix not in (".md", ".py", ".toml", ".yml", ".yaml", ".jinja", ".txt", "") or not path.is_file():
            continue
        for line in path.read_text("utf-8").splitlines():
            if "pip install" not in line:
                continue
            assert not re.search(r"pip install [^`]*(?<![\w./-])['\"]?exporter\b(?! build| lint)", line), (
                f"{path}: {line}"
            )
            for name, asked in _INSTALLED.findall(line):
                assert name != "exporter", f"{path}: {line}"
                # Pages install from a clone, as the README does: nothing is on the index yet.
                assert path.parent.name != "docs" or name == ".", f"{path}: {line}"
                told += 1
                if "{" not in asked:
                    assert set(asked.split(",")) <= set(PROJECT["optional-dependencies"]), f"{path}: {line}"
    assert told >= 10


def test_what_brings_a_module_is_read_from_the_metadata(monkeypatch: pytest.MonkeyPatch):
    lines = [
        "click>=8",
        "torch<3,>=2; extra == 'build'",
        "onnx-ir; extra == 'build'",
        "onnx; extra == 'build'",
        'onnx; extra == "verify"',
        "h5py; extra == 'test'",
        "pytest; extra == 'test'",
        "h5py; extra == 'tf'",
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines if name == DISTRIBUTION else None)
    assert extras()["build"] == ("torch", "onnx-ir", "onnx")
    assert install_command_of("torch") == "pip install 'checkpoint-exporter[build]'"
    assert install_command_of("onnx_ir") == "pip install 'checkpoint-exporter[build]'"
    assert str(install_command_of("onnx")).endswith("alone: pip install 'checkpoint-exporter[verify]'")
    assert install_command_of("h5py") == "pip install 'checkpoint-exporter[tf]'"
    assert install_command_of("click") is None


TRIED = ["torch>=2.11,<2.16", 'transformers<5.25,>=5.20; extra == "build"', "h5py>=3.11; extra == 'tf'"]


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("torch", "2.11.0"),
        ("torch", "2.13.0+cpu"),
        ("torch", "2.15.9"),
        ("transformers", "5.20.0"),
        ("transformers", "5.24.1"),
        ("h5py", "99"),
        ("torch", "unknown"),
        ("torch", "local-build"),
    ],
)
def test_nothing_is_said_of_versions_that_were_tried(package: str, version: str):
    """Nor of what is not installed, or counts in another way."""
    assert list(find_untried(TRIED, {package: version})) == []


@pytest.mark.parametrize("version", ["2.10.9", "2.16.0", "2.16.0.dev20270101+cu130", "3.0"])
def test_a_version_outside_the_range_is_told_with_what_to_install(version: str):
    (line,) = find_untried(TRIED, {"torch": version, "transformers": "5.23.0"})
    assert line == (
        f"torch {version} is not among the versions that exporter was tried with (>=2.11,<2.16); "
        "if a build fails, try: pip install 'torch>=2.11,<2.16'"
    )


def test_a_python_that_the_package_does_not_name_is_told(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr("sys.version_info", (3, 99, 0))
        (line, *_) = untried_versions()
    assert line.startswith("Python 3.99 is not among the versions that exporter was tried with: 3.11, ")


def test_a_package_that_was_never_installed_has_tried_nothing(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise packages.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "metadata", missing)
    assert untried_versions() == []


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is said where the installed torch is newer than all that was tried."""
    line = "torch 9.9 is not among the versions that exporter was tried with (>=2.11,<2.16)"
    for module in ("exporter.versions", "exporter.api"):
        monkeypatch.setattr(f"{module}.untried_versions", lambda: [line])
    return line


def test_a_build_warns_once_and_builds(untried: str, tmp_path: Path):
    arguments = ["build", "bert", "distilbert", "--task", "fill-mask", "-o", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.return_value == 0
    assert result.stderr.count(f"warning: {untried}\n") == 1
    assert untried not in result.stdout
    with pytest.warns(UserWarning, match=r"torch 9\.9 is not among"):
        (built,) = exporter.build("bert", task="fill-mask", output=tmp_path / "again")
    assert built.report.passed


@pytest.mark.parametrize("command", [["lint", "specs/bert.yaml"], ["list"], ["show", "bert"], ["plan", "bert"]])
def test_looking_warns_of_nothing(command: list[str], untried: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert result.return_value == 0
    assert result.stdout
    assert untried not in result.output
