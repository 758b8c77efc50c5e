"""An adapter as a checkpoint: what its directory says, and what is refused before PEFT is asked."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Source, open_checkpoint, open_directory
from exporter.models.checkpoints.adapter import is_adapter, open_adapter

CONFIG = {"peft_type": "LORA", "base_model_name_or_path": "some/base", "task_type": "SEQ_CLS"}


FIND_SPEC = importlib.util.find_spec


@pytest.fixture(autouse=True)
def peft_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these tests tell the same in an environment with PEFT and in one without: none of them merges."""
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: FIND_SPEC("json") if name == "peft" else FIND_SPEC(name)
    )


def make_adapter(folder: Path, *, weights: bool = True, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}), "utf-8")
    if weights:
        tensors = {
            "base_model.model.classifier.weight": torch.ones(5, 8),
            "base_model.model.q.lora_A": torch.ones(2, 8),
        }
        save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_is_described(tmp_path: Path) -> None:
    path = make_adapter(tmp_path, revision="v1")
    assert is_adapter(path)
    adapter = open_adapter(path, "mine", None)
    assert (adapter.method, adapter.base, adapter.revision, adapter.labels) == ("LORA", "some/base", "v1", 5)
    assert [file.name for file in adapter.files] == ["adapter_config.json", "adapter_model.safetensors"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": None}, "names no method or no base"),
        ({"base_model_name_or_path": None}, "names no method or no base"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "names code to import"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message) as refusal:
        open_adapter(make_adapter(tmp_path, **config), "mine", None)
    assert "merge_and_unload" in (refusal.value.help or "")


def test_an_adapter_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the adapter 'mine' has no weights"):
        open_adapter(make_adapter(tmp_path, weights=False), "mine", None)


def test_without_peft_one_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else FIND_SPEC(name))
    with pytest.raises(CheckpointError, match="is a LORA adapter of 'some/base' and no model of its own") as refusal:
        open_checkpoint(Source(str(make_adapter(tmp_path))))
    assert "pip install 'checkpoint-exporter[peft]'" in (refusal.value.help or "")
    assert "merge" in (refusal.value.help or "")


def test_a_base_that_is_not_there_is_told_with_the_adapter(tmp_path: Path) -> None:
    path = make_adapter(tmp_path / "mine", base_model_name_or_path="../no/where/at/all")
    with pytest.raises(CheckpointError, match=r"the base of the adapter '.*mine' cannot be opened"):
        open_checkpoint(Source(str(path)))


@pytest.mark.parametrize("base", ["x" * 5_000, "a/" * 3_000, "a\0b", "../" * 40 + "no-such-place"], ids=len)
def test_a_base_by_a_name_that_is_none_is_an_error(base: str, tmp_path: Path) -> None:
    path = make_adapter(tmp_path / "mine", base_model_name_or_path=base)
    with pytest.raises(CheckpointError, match=r"the base of the adapter '.*mine' cannot be opened"):
        open_checkpoint(Source(str(path)))


def test_an_adapter_of_an_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    save_file({"a": torch.zeros(2)}, tmp_path / "base/model.safetensors", {"format": "pt"})
    (tmp_path / "base/config.json").write_text('{"model_type": "bert"}', "utf-8")
    make_adapter(tmp_path / "first", base_model_name_or_path="../base")
    second = make_adapter(tmp_path / "second", base_model_name_or_path="../first")
    assert open_checkpoint(Source(str(tmp_path / "first"))).adapter is not None
    with pytest.raises(CheckpointError, match="is an adapter too"):
        open_checkpoint(Source(str(second)))


def test_an_adapter_beside_the_weights_of_a_model_is_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"holds an adapter \(adapter_config.json\) beside the weights of a model"
    ):
        open_directory(tmp_path, "mine")
