"""Where the weights of a checkpoint go: heads of other tasks, old buffers, and what nobody has a place for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from commands import TINY_BERT

from exporter.errors import CheckpointError
from exporter.models.accounting import account, check_missing, check_placed_once, check_size, make_skeleton
from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.weights import Weights
from exporter.models.configs import make_config

NOTHING: dict[str, Any] = {"mismatched_keys": [], "missing_keys": [], "unexpected_keys": [], "error_msgs": []}
TINY_GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 40}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    return Checkpoint(tmp_path, "mine", ("model.safetensors",))


def skeleton_of(cls: str, architecture: str, checkpoint: Checkpoint, **values: Any) -> Any:
    return make_skeleton(getattr(transformers, cls), make_config(architecture, values), checkpoint)


def weights_of(*names: str) -> Weights:
    return Weights(dict.fromkeys(names, torch.ones(1)), {name: name for name in names})


@pytest.mark.parametrize(
    ("cls", "architecture", "values", "name"),
    [
        ("BertForMaskedLM", "bert", TINY_BERT, "cls.seq_relationship.weight"),
        ("BertForMaskedLM", "bert", TINY_BERT, "bert.pooler.dense.weight"),
        ("BertForMaskedLM", "bert", TINY_BERT, "classifier.bias"),
        ("BertModel", "bert", TINY_BERT, "cls.predictions.bias"),
        ("GPT2Model", "gpt2", TINY_GPT2, "lm_head.weight"),
        ("GPT2LMHeadModel", "gpt2", TINY_GPT2, "score.weight"),
    ],
)
def test_the_head_of_another_task_is_said(
    cls: str, architecture: str, values: dict[str, Any], name: str, checkpoint: Checkpoint
) -> None:
    skeleton = skeleton_of(cls, architecture, checkpoint, **values)
    remarks = account(skeleton, weights_of(name), {**NOTHING, "unexpected_keys": {name}}, checkpoint)
    assert remarks == (f"1 weight is left out, of other tasks: {name}",)


@pytest.mark.parametrize(
    ("cls", "architecture", "values", "name"),
    [
        ("GPT2LMHeadModel", "gpt2", TINY_GPT2, "lm_head.bias"),
        ("GPT2ForSequenceClassification", "gpt2", TINY_GPT2, "score.bias"),
        ("GPT2LMHeadModel", "gpt2", TINY_GPT2, "h.2.ln_1.bias"),
        ("GPT2LMHeadModel", "gpt2", TINY_GPT2, "transformer.h.2.ln_1.bias"),
        ("GPT2Model", "gpt2", TINY_GPT2, "h.1.mlp.gate.weight"),
        ("BertModel", "bert", TINY_BERT, "encoder.layer.7.output.dense.bias"),
        ("BertForMaskedLM", "bert", TINY_BERT, "adapter.down.weight"),
    ],
)
def test_what_no_class_has_a_place_for_is_refused(
    cls: str, architecture: str, values: dict[str, Any], name: str, checkpoint: Checkpoint
) -> None:
    skeleton = skeleton_of(cls, architecture, checkpoint, **values)
    with pytest.raises(CheckpointError, match=f"has no place for: {name}") as refusal:
        account(skeleton, weights_of(name), {**NOTHING, "unexpected_keys": {name}}, checkpoint)
    assert refusal.value.help


def test_old_buffers_are_said(checkpoint: Checkpoint) -> None:
    skeleton = skeleton_of("BertForMaskedLM", "bert", checkpoint, **TINY_BERT)
    weights = weights_of("bert.embeddings.position_ids")
    assert account(skeleton, weights, NOTHING, checkpoint) == (
        "1 weight is left out, computed by the model: bert.embeddings.position_ids",
    )


def test_a_config_that_asks_for_layers_without_end_is_stopped(checkpoint: Checkpoint) -> None:
    config = make_config("bert", {**TINY_BERT, "num_hidden_layers": 900_000})
    with pytest.raises(CheckpointError, match="more than 10,000 parameters, and its files hold 40"):
        make_skeleton(transformers.BertForMaskedLM, config, checkpoint, 40)


def test_a_model_far_larger_than_its_weights_is_not_allocated(checkpoint: Checkpoint) -> None:
    skeleton = skeleton_of("BertForMaskedLM", "bert", checkpoint, **{**TINY_BERT, "vocab_size": 50_000_000})
    name = "bert.embeddings.word_embeddings.weight"
    weights = Weights({name: torch.ones(50, 24)}, {name: name})
    with pytest.raises(CheckpointError, match=r"a model of [\d,]+ values, and its weights have 1,200") as refusal:
        check_size(skeleton, weights, checkpoint)
    assert "'vocab_size', whose default is 50000000, and the weights have 50" in (refusal.value.help or "")


def test_a_weight_with_and_without_the_prefix_is_refused(checkpoint: Checkpoint) -> None:
    skeleton = skeleton_of("BertForMaskedLM", "bert", checkpoint, **TINY_BERT)
    name = "embeddings.LayerNorm.bias"
    check_placed_once(skeleton, weights_of(name), checkpoint)
    with pytest.raises(CheckpointError, match=f"1 weights twice, with the prefix 'bert.' and without: {name}"):
        check_placed_once(skeleton, weights_of(name, f"bert.{name}"), checkpoint)


def test_missing_weights_are_named_as_in_the_file(checkpoint: Checkpoint) -> None:
    skeleton = skeleton_of("BertForMaskedLM", "bert", checkpoint, **TINY_BERT)
    bare = weights_of("embeddings.LayerNorm.bias", "encoder.layer.0.output.dense.bias")
    check_missing((), bare, skeleton, checkpoint)
    with pytest.raises(CheckpointError, match=r"needs: encoder\.layer\.1\.output\.dense\.bias") as refusal:
        check_missing(["bert.encoder.layer.1.output.dense.bias"], bare, skeleton, checkpoint)
    assert "'num_hidden_layers', whose default is 2, and the weights have 1" in (refusal.value.help or "")
