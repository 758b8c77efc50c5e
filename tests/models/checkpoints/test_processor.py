"""What a checkpoint's files say of its processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.processor import load_processor


def save_config(folder: Path, **values: Any) -> Checkpoint:
    (folder / "config.json").write_text(json.dumps(values), "utf-8")
    return Checkpoint(folder, "mine", ("model.safetensors",))


PROCESSORS: dict[str, tuple[dict[str, Any], Any]] = {
    "none": ({}, None),
    "a file of its own": ({"preprocessor_config.json": {"return_attention_mask": True}}, True),
    "nested": ({"processor_config.json": {"feature_extractor": {"return_attention_mask": True}}}, True),
    "nested as sound": ({"processor_config.json": {"audio_processor": {"return_attention_mask": True}}}, True),
    "nested before a file": (
        {
            "processor_config.json": {"feature_extractor": {"return_attention_mask": False}},
            "preprocessor_config.json": {"return_attention_mask": True},
        },
        False,
    ),
    "a file beside what nests nothing": (
        {
            "processor_config.json": {"processor_class": "SomeProcessor", "feature_extractor": "elsewhere"},
            "preprocessor_config.json": {"return_attention_mask": True},
        },
        True,
    ),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_a_processor_is_read_where_transformers_reads_it(tmp_path: Path, case: str) -> None:
    files, value = PROCESSORS[case]
    checkpoint = save_config(tmp_path, model_type="bert")
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values), "utf-8")
    assert load_processor(checkpoint).return_attention_mask is value


def test_a_processor_that_cannot_be_read_is_an_error_of_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = save_config(tmp_path, model_type="bert")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is not valid JSON"):
        load_processor(checkpoint)
