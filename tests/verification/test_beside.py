"""Verification beside the checkpoint: its own weights and no others, and inputs the build has not seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import exporter
from exporter.artifacts.manifest import read_plan
from exporter.errors import CheckpointError, UsageError
from exporter.models.checkpoints import Source
from exporter.verification.beside import verify_beside

CONFIG = {"n_layers": 1, "n_heads": 2, "dim": 16, "hidden_dim": 20, "vocab_size": 99, "max_position_embeddings": 32}


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("DistilBertModel", "distilbert", **CONFIG)


@pytest.fixture(scope="module")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("beside") / "out"
    exporter.build(model=checkpoint, task="feature-extraction", output=output, verify=False)
    return output


def beside(artifact: Path, model: Path, told: list[str] | None = None):
    return verify_beside(artifact, read_plan(artifact), Source(str(model)), (told if told is not None else []).append)


def test_it_takes_inputs_the_build_has_not_seen(artifact: Path, checkpoint: Path):
    told: list[str] = []
    report = beside(artifact, checkpoint, told)
    assert report.passed
    seed = read_plan(artifact).sizes.seed
    # A build takes the plan's seed and the next.
    assert {comparison.seed for comparison in report.comparisons} == {seed + 2, seed + 3}
    assert told[:2] == ["opening the checkpoint", "loading the model"]


def test_other_weights_are_refused_by_the_name_of_their_file(artifact: Path, make_checkpoint: Callable[..., Path]):
    other = make_checkpoint("DistilBertModel", "distilbert", seed=8, **CONFIG)
    with pytest.raises(CheckpointError, match=r"is not the checkpoint .* model\.safetensors differ"):
        beside(artifact, other)


def test_another_architecture_is_refused(artifact: Path, checkpoint: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps({**config, "model_type": "bert"}), "utf-8")
    with pytest.raises(UsageError, match="of the architecture 'bert', and the spec is of 'distilbert'"):
        beside(artifact, other)
