"""Numbers of a config that no weights could fill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints.plausibility import Extent, check_plausible

EXTENT = Extent(weights=40, values=30_000)


def check(folder: Path, **config: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2), "utf-8")
    check_plausible(path, config, EXTENT)


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1e9},
        {"n_layer": 5_000},
        {"depths": [2, 2, 10**7]},
        {"text_config": {"num_hidden_layers": 10**9}},
        {"encoder": {"encoder_layers": 10**9}},
        {"num_labels": 10**9},
        {"vocab_size": 10**12},
        {"hidden_size": 10**10},
        {"max_position_embeddings": 10**12},
        {"n_positions": 10**12},
        {"num_channels": 10**9},
    ],
    ids=str,
)
def test_a_number_beyond_all_weights_is_refused_with_its_line(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"line \d+ of config.json|config.json does not set") as refusal:
        check(tmp_path, **config)
    assert "config.json" in (refusal.value.help or "")


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 12, "vocab_size": 30_522},
        {"rope_theta": 10**9, "max_length": 10**20, "seed": 10**18},
        {"num_hidden_layers": 900},  # layers that share their weights
        {"max_position_embeddings": 10_485_760},
        {"pad_token_id": 10**9, "output_hidden_states": True},
    ],
    ids=str,
)
def test_other_numbers_are_left_alone(config: dict[str, Any], tmp_path: Path) -> None:
    check(tmp_path, **config)
