"""Loading a checkpoint for a plan: whose weights are missing, too many or of the wrong shape."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from commands import TINY_BERT
from safetensors.torch import load_file, save_file
from torch import nn

import exporter
from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint, open_directory
from exporter.models.loading import convert_weights, load_model, parameter_names
from exporter.planning.plan import Plan

Weights = dict[str, torch.Tensor]


@pytest.fixture
def saved(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint that a test may spoil."""
    return Path(shutil.copytree(make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT), tmp_path / "saved"))


def plan_of(saved: Path, task: str = "fill-mask", **options: Any) -> tuple[Plan, Checkpoint]:
    return exporter.plan("bert", task, model=saved, **options), open_directory(saved, "mine")


def change_weights(saved: Path, change: Callable[[Weights], Any]) -> None:
    weights = load_file(saved / "model.safetensors")
    change(weights)
    save_file(weights, saved / "model.safetensors", {"format": "pt"})


def test_a_whole_checkpoint_is_loaded_in_evaluation_mode(saved: Path) -> None:
    loaded = load_model(*plan_of(saved), attention="eager")
    model = loaded.model
    assert loaded.missing == set()
    assert loaded.remarks == ()
    assert not model.training
    assert model.config._attn_implementation == "eager"
    weights = load_file(saved / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(model.get_parameter(name).data, weights[name])


def test_weights_the_checkpoint_lacks_are_named_and_the_same_every_time(saved: Path) -> None:
    plan, checkpoint = plan_of(saved, "text-classification")
    first, second = (load_model(plan, checkpoint) for _ in range(2))
    assert {"classifier.weight", "classifier.bias"} <= first.missing
    assert torch.equal(first.model.classifier.weight, second.model.classifier.weight)


def test_loading_leaves_the_random_numbers_of_others_alone(saved: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(*plan_of(saved, "text-classification"))
    assert torch.equal(torch.rand(4), expected)


def test_every_weight_has_the_dtype_of_the_build(saved: Path) -> None:
    model = load_model(*plan_of(saved, dtype="float16")).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}


@pytest.mark.parametrize(
    ("change", "message", "help_"),
    [
        (
            lambda weights: weights.update({"bert.encoder.layer.1.output.dense.weight": torch.zeros(7, 5)}),
            r"1 weights of the wrong shape: bert.encoder.layer.1.output.dense.weight is \[7, 5\] in the file",
            "'hidden_size' is 24, and the weights have 7",
        ),
        (
            lambda weights: weights.update({"bert.encoder.layer.2.output.dense.bias": torch.zeros(24)}),
            r"1 weights that BertForMaskedLM with this config has no place for: bert.encoder.layer.2.output.dense.bias",
            "'num_hidden_layers' is 2, and the weights have 3 (encoder.layer.0 to encoder.layer.2)",
        ),
    ],
    ids=["wrong-shape", "another-depth"],
)
def test_weights_that_do_not_fit_are_named(
    change: Callable[[Weights], Any], message: str, help_: str, saved: Path
) -> None:
    change_weights(saved, change)
    with pytest.raises(CheckpointError, match=message) as failure:
        load_model(*plan_of(saved))
    assert help_ in (failure.value.help or "")


def test_another_head_and_an_old_buffer_do_no_harm(saved: Path) -> None:
    extra = {"classifier.weight": torch.zeros(2, 24), "bert.embeddings.position_ids": torch.zeros(1, 40)}
    change_weights(saved, lambda weights: weights.update(extra))
    loaded = load_model(*plan_of(saved))
    assert loaded.missing == set()
    assert loaded.remarks == (
        "1 weight is left out, of other tasks: classifier.weight",
        "1 weight is left out, computed by the model: bert.embeddings.position_ids",
    )


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("\n\n")], ids=repr)
def test_an_error_without_text_is_told_by_its_kind(
    error: Exception, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    plan, checkpoint = plan_of(saved)
    monkeypatch.setattr(transformers.BertForMaskedLM, "from_pretrained", refuse)
    with pytest.raises(CheckpointError) as failure:
        load_model(plan, checkpoint)
    assert failure.value.message == (
        f"'mine' cannot be loaded as BertForMaskedLM from model.safetensors: {type(error).__name__}"
    )
    monkeypatch.setattr(transformers.BertForMaskedLM, "__init__", refuse)
    foreign = Checkpoint(saved, "mine", ("flax_model.msgpack",), framework="flax", container="msgpack")
    with pytest.raises(CheckpointError) as failure:
        convert_weights(plan, foreign, saved / "converted")
    assert failure.value.message == f"the config of 'mine' does not build: {type(error).__name__}"


def test_a_config_that_does_not_build_is_explained(saved: Path) -> None:
    path = saved / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "pad_token_id": 500}, indent=2), "utf-8")
    with pytest.raises(CheckpointError, match="the config of 'mine' does not build") as failure:
        load_model(*plan_of(saved))
    assert "'pad_token_id' is 500, and the vocabulary ends at 49" in (failure.value.help or "")


def test_weights_of_pytorch_need_no_conversion(saved: Path, tmp_path: Path) -> None:
    plan, checkpoint = plan_of(saved)
    assert convert_weights(plan, checkpoint, tmp_path / "converted") is checkpoint


def test_only_missing_weights_that_a_graph_uses_are_a_failure(saved: Path) -> None:
    plan, checkpoint = plan_of(saved, "text-classification")
    loaded = load_model(plan, checkpoint)
    loaded.check_used({"bert.embeddings.word_embeddings.weight"}, checkpoint)
    lacking = r"'mine' lacks 2 weights that BertForSequenceClassification needs: classifier.bias, classifier.weight"
    with pytest.raises(CheckpointError, match=lacking) as failure:
        loaded.check_used({"classifier.weight", "classifier.bias"}, checkpoint)
    assert "fine-tuned" in (failure.value.help or "")


def test_parameters_are_known_by_their_storage() -> None:
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    model["second"].weight = model["first"].weight
    names = parameter_names(
        model,
        [
            model.get_parameter("first.weight").detach(),
            model.get_parameter("second.bias").data,
            torch.ones(2),
            torch.ones(0),
        ],
    )
    assert names == {"first.weight", "second.weight", "second.bias"}


def test_what_the_library_says_of_a_weight_is_told_in_one_line(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, checkpoint = plan_of(saved)
    model = load_model(plan, checkpoint).model
    info = {"mismatched_keys": [], "unexpected_keys": [], "missing_keys": [], "error_msgs": ["\n  first\nmore", ""]}
    monkeypatch.setattr(transformers.BertForMaskedLM, "from_pretrained", lambda *_, **__: (model, info))
    with pytest.raises(CheckpointError) as failure:
        load_model(plan, checkpoint)
    assert failure.value.message == "'mine' cannot be loaded: first, no reason given"


def test_transformers_is_given_no_directory(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look there for weights of its own choice, and for adapters."""
    given: list[Any] = []
    original = transformers.BertForMaskedLM.from_pretrained

    def watch(*names: Any, **options: Any) -> Any:
        given.append(names)
        return original(*names, **options)

    plan, checkpoint = plan_of(saved)
    (saved / "adapter_config.json").write_text('{"peft_type": "LORA"}', "utf-8")
    (saved / "other.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    monkeypatch.setattr(transformers.BertForMaskedLM, "from_pretrained", watch)
    load_model(plan, checkpoint)
    assert given == [(None,)]


def test_the_weights_a_config_names_are_loaded_and_digested(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    save_file({name: tensor * 3 for name, tensor in weights.items()}, saved / "other.safetensors", {"format": "pt"})
    path = saved / "config.json"
    config = {**json.loads(path.read_text("utf-8")), "transformers_weights": "other.safetensors"}
    path.write_text(json.dumps(config), "utf-8")
    plan, checkpoint = plan_of(saved)
    assert checkpoint.digests().keys() == {"config.json", "other.safetensors"}
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(load_model(plan, checkpoint).model.get_parameter(name).data, weights[name] * 3)
    for wrong in ("nowhere.safetensors", "../other.safetensors", "config.json", ["other.safetensors"], "x" * 999):
        path.write_text(json.dumps({**config, "transformers_weights": wrong}), "utf-8")
        with pytest.raises(CheckpointError, match=r"'transformers_weights' in config.json") as refusal:
            open_directory(saved, "mine")
        assert refusal.value.help


REMOTE = """
import torch
from transformers import BertForMaskedLM

class OwnForMaskedLM(BertForMaskedLM):
    def forward(self, *inputs, **named):
        outputs = super().forward(*inputs, **named)
        outputs.logits = outputs.logits * 2
        return outputs
"""


def test_the_class_of_a_checkpoints_own_code_is_taken_where_it_may_run(saved: Path) -> None:
    (saved / "own.py").write_text(REMOTE, "utf-8")
    path = saved / "config.json"
    config = {**json.loads(path.read_text("utf-8")), "auto_map": {"AutoModelForMaskedLM": "own.OwnForMaskedLM"}}
    path.write_text(json.dumps(config), "utf-8")
    plan, checkpoint = plan_of(saved)
    assert type(load_model(plan, checkpoint).model) is transformers.BertForMaskedLM
    trusted = dataclasses.replace(checkpoint, trust_remote_code=True)
    assert type(load_model(plan, trusted).model).__name__ == "OwnForMaskedLM"
