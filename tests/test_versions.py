"""Versions of packages that are installed, and of those that are not."""

from __future__ import annotations

import re
import subprocess
import tomllib

import numpy as np
import pytest
from commands import REPOSITORY

from exporter.versions import DISTRIBUTION, extras, install_command, install_command_of, installed_version

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
