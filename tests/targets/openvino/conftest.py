"""One small graph that the tests of this target open, judge and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporter
from exporter.api import BuildResult


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """Masked language modelling of the smallest encoder, built and verified by the target."""
    pytest.importorskip("openvino")
    place = tmp_path_factory.mktemp("openvino") / "artifact"
    (result,) = exporter.build("distilbert", task="fill-mask", target="openvino", output=place)
    return result


@pytest.fixture
def copied(artifact: BuildResult, tmp_path: Path) -> Path:
    """A copy of the artifact to damage."""
    import shutil

    shutil.copytree(artifact.directory, tmp_path / "artifact")
    return tmp_path / "artifact"
