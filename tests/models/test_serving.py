"""The task of a checkpoint that does not say what it was saved from, told by its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import TINY_BERT

import exporter
from exporter.models.checkpoints import open_directory
from exporter.models.serving import tasks_by_weights

TINY: dict[str, dict[str, Any]] = {
    "bert": TINY_BERT,
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 40},
    "t5": {"d_model": 24, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4, "vocab_size": 50},
}


@pytest.mark.parametrize(
    ("cls", "architecture", "task"),
    [
        ("BertModel", "bert", "feature-extraction"),
        ("BertForMaskedLM", "bert", "fill-mask"),
        ("BertForSequenceClassification", "bert", "text-classification"),
        ("BertForTokenClassification", "bert", "token-classification"),
        ("BertForMultipleChoice", "bert", "multiple-choice"),
        ("GPT2LMHeadModel", "gpt2", "text-generation-with-past"),
        ("GPT2ForSequenceClassification", "gpt2", "text-classification"),
        ("T5EncoderModel", "t5", "text-encoding"),
        ("T5ForConditionalGeneration", "t5", "text2text-generation-with-past"),
    ],
)
def test_weights_tell_what_they_are_of(
    cls: str, architecture: str, task: str, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    saved = shutil.copytree(make_checkpoint(cls, architecture, **TINY[architecture]), tmp_path / "saved")
    config = json.loads((saved / "config.json").read_text("utf-8"))
    del config["architectures"]
    (saved / "config.json").write_text(json.dumps(config), "utf-8")
    (first, *_) = tasks_by_weights(exporter.load_spec(architecture), open_directory(saved, "mine"))
    assert first.name == task


def test_weights_of_nothing_serve_no_task(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    saved = shutil.copytree(make_checkpoint("T5EncoderModel", "t5", **TINY["t5"]), tmp_path / "saved")
    assert tasks_by_weights(exporter.load_spec("bart"), open_directory(saved, "mine")) == []
