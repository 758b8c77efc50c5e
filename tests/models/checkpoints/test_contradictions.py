"""Which line of a config contradicts the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.models.checkpoints.contradictions import Depths, explain_depth, explain_ids, explain_shapes, is_depth


@pytest.fixture
def config(tmp_path: Path) -> Path:
    values = {"hidden_size": 24, "vocab_size": 50, "pad_token_id": 60}
    (tmp_path / "config.json").write_text(json.dumps(values, indent=2), "utf-8")
    return tmp_path / "config.json"


def test_the_line_and_both_sizes_are_named(config: Path) -> None:
    mismatched = [("a", (99, 24), (50, 24)), ("b", (99,), (50,))]
    assert explain_shapes(config, {"hidden_size": 24, "vocab_size": 50}, mismatched) == (
        "line 3 of config.json: 'vocab_size' is 50, and the weights have 99"
    )


def test_a_default_and_the_number_of_labels_are_told_as_such(config: Path) -> None:
    values = {"hidden_size": 24, "id2label": {"0": "no", "1": "yes"}, "depth": 2, "is_decoder": True}
    assert explain_shapes(config, values, [("a", (5,), (2,))]) == (
        "config.json does not set 'id2label', whose default names 2 labels, and the weights have 5; or "
        "config.json does not set 'depth', whose default is 2, and the weights have 5"
    )


def test_a_size_that_no_value_has_is_not_explained(config: Path) -> None:
    assert explain_shapes(config, {"hidden_size": 24}, [("a", (5,), (7,)), ("b", (5, 1), (24,))]) is None


def test_ids_beyond_the_vocabulary_are_told_where_the_config_sets_them(config: Path) -> None:
    values = {"vocab_size": 50, "pad_token_id": 60, "eos_token_id": 70, "bos_token_id": 49}
    assert explain_ids(config, values) == ("line 4 of config.json: 'pad_token_id' is 60, and the vocabulary ends at 49")
    assert explain_ids(config, {**values, "vocab_size": 61}) is None
    assert explain_ids(config, {"pad_token_id": 60}) is None


@pytest.mark.parametrize(
    ("in_file", "in_model", "explained"),
    [
        ([0, 1, 2], [0, 1], "config.json does not set 'n_layer', whose default is 2, and the weights have 3"),
        ([0], [0, 1], "config.json does not set 'n_layer', whose default is 2, and the weights have 1"),
        ([0, 1], [0, 1], None),
    ],
)
def test_another_number_of_layers_is_told(
    in_file: list[int], in_model: list[int], explained: str | None, config: Path
) -> None:
    depths = Depths([f"h.{layer}.bias" for layer in in_file], [f"h.{layer}.bias" for layer in in_model])
    told = explain_depth(config, {"n_layer": 2, "hidden_size": 2}, ["h.1.bias"], depths)
    assert (told or "").startswith(explained or "")
    assert bool(told) == bool(explained)


def test_a_depth_is_told_by_its_key() -> None:
    assert all(map(is_depth, ["num_hidden_layers", "n_layer", "layers", "depths", "decoder_layers", "num_blocks"]))
    assert not any(map(is_depth, ["hidden_size", "layer_norm_eps", "layerdrop", "output_past"]))
