"""Versions of packages that are installed, and of those that are not."""

from __future__ import annotations

import tomllib

import numpy as np
from commands import REPOSITORY

from exporter.versions import installed_version


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert installed_version() == project["version"]


def test_any_package_can_be_asked_for():
    assert installed_version("numpy") == np.__version__


def test_a_package_that_is_not_there_has_no_version():
    assert installed_version("no-such-package-here") == "unknown"
