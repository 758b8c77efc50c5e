"""Weights as files hold them: wrapped by training loops, in several files, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.weights import open_weights, unwrap

MODEL = {"my.layer.weight": torch.ones(2, 3), "my.layer.bias": torch.zeros(2), "head.bias": torch.ones(1)}


def saved(folder: Path, content: Any) -> Checkpoint:
    torch.save(content, folder / "pytorch_model.bin")
    return Checkpoint(folder, "mine", ("pytorch_model.bin",), container="bin")


def wrapped(content: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {start + name: tensor for name, tensor in content.items()}


@pytest.mark.parametrize(
    ("content", "wrapping"),
    [
        (MODEL, ()),
        ({"state_dict": MODEL, "epoch": 3}, ('{"state_dict": …}',)),
        ({"model": MODEL, "optimizer": {"state": {0: {"step": torch.ones(2)}}}}, ('{"model": …}',)),
        ({"checkpoint": {"module": MODEL}, "best_loss": torch.tensor(0.5)}, ('{"checkpoint": {"module": …}}',)),
        ({"state_dict": MODEL, "loops": {"fit": {"state_dict": {}}}, "callbacks": {}}, ('{"state_dict": …}',)),
        (wrapped(MODEL, "module."), ("the prefix 'module.'",)),
        (wrapped(MODEL, "_orig_mod."), ("the step '_orig_mod.'",)),
        (wrapped(MODEL, "module._orig_mod."), ("the step '_orig_mod.'", "the prefix 'module.'")),
        (wrapped(MODEL, "net.student."), ("the prefix 'net.student.'",)),
        ({"state_dict": wrapped(MODEL, "model.")}, ('{"state_dict": …}', "the prefix 'model.'")),
        (
            {name.replace("layer", "layer._fsdp_wrapped_module"): tensor for name, tensor in MODEL.items()},
            ("the step '_fsdp_wrapped_module.'",),
        ),
    ],
    ids=lambda value: str([*value])[:60],
)
def test_what_a_training_loop_wrapped_is_unwrapped_and_said(content: Any, wrapping: Any, tmp_path: Path) -> None:
    weights = unwrap(open_weights(saved(tmp_path, content)), MODEL, "my")
    assert weights.tensors.keys() == MODEL.keys()
    assert torch.equal(weights.tensors["my.layer.weight"], MODEL["my.layer.weight"])
    assert weights.wrapping == wrapping


def test_names_that_are_the_models_own_stay(tmp_path: Path) -> None:
    """A model may have a part called ``model``, and one without its base model's prefix is not wrapped."""
    for names in (["model.layer.weight", "head.bias"], ["layer.weight", "head.bias"]):
        weights = open_weights(saved(tmp_path, dict.fromkeys(names, torch.ones(1))))
        assert [*unwrap(weights, ["model.layer.weight", "head.bias"], "model").tensors] == names


def test_beside_a_wrapped_model_other_weights_keep_their_names(tmp_path: Path) -> None:
    content = {**wrapped(MODEL, "model."), "criterion.weight": torch.ones(2)}
    assert "criterion.weight" in unwrap(open_weights(saved(tmp_path, content)), MODEL, "my").tensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": MODEL, "ema": MODEL}, "holds 2 dictionaries of tensors: 'model', 'ema'"),
        ({"epoch": 3}, "holds no dictionary of tensors, but a dictionary with 'epoch'"),
        ([torch.ones(2)], "holds no dictionary of tensors, but list"),
        ({}, "holds no dictionary of tensors"),
    ],
    ids=["two", "none", "list", "empty"],
)
def test_a_file_without_the_one_dictionary_of_weights_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message) as refusal:
        open_weights(saved(tmp_path, content))
    assert "save" in (refusal.value.help or "")


def test_names_that_become_one_are_refused(tmp_path: Path) -> None:
    content = {"layer.weight": torch.ones(1), "layer._orig_mod.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match="one name twice"):
        unwrap(open_weights(saved(tmp_path, content)), ["layer.weight"], "")


def test_a_weight_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        save_file({"a": torch.zeros(2)}, tmp_path / name)
    with pytest.raises(CheckpointError, match="in two of its files: a"):
        open_weights(Checkpoint(tmp_path, "mine", ("one.safetensors", "two.safetensors")))


def test_files_are_mapped_and_not_read(tmp_path: Path) -> None:
    save_file({"a": torch.arange(4.0)}, tmp_path / "model.safetensors")
    weights = open_weights(Checkpoint(tmp_path, "mine", ("model.safetensors",)))
    assert not isinstance(weights.tensors["a"], torch.Tensor)
    assert torch.equal(weights.tensors["a"][...], torch.arange(4.0))


@pytest.mark.parametrize(
    ("names", "lacking", "spelt"),
    [
        (["my.layer.bias"], "my.layer.weight", "my.layer.weight"),
        (["layer.bias"], "my.layer.weight", "layer.weight"),
        (["module.my.layer.bias", "module.head.bias"], "my.layer.weight", "module.my.layer.weight"),
        (["module.layer.bias", "module.head.bias"], "my.layer.weight", "module.layer.weight"),
        (["module.layer.bias"], "head.bias", "module.head.bias"),
    ],
)
def test_a_weight_the_file_lacks_is_spelt_as_the_file_would(
    names: list[str], lacking: str, spelt: str, tmp_path: Path
) -> None:
    weights = unwrap(open_weights(saved(tmp_path, dict.fromkeys(names, torch.ones(1)))), MODEL, "my")
    assert weights.name_in_file(lacking, "my") == spelt
