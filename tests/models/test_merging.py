"""Adapters merged into their bases: the same numbers as PEFT computes with both side by side."""

from __future__ import annotations

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

import exporter
from exporter.artifacts.manifest import read_manifest
from exporter.errors import CheckpointError
from exporter.models.checkpoints import Source, find_companions, open_checkpoint
from exporter.models.loading import load_model
from exporter.models.merging import make_loadable

peft = pytest.importorskip("peft")
# PEFT asks a model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
IDS = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture
def base(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    saved = make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)
    return Path(shutil.copytree(saved, tmp_path / "base"))


def train(base: Path, folder: Path, settings: Any, cls: str = "BertForMaskedLM", **options: Any) -> Any:
    """Save an adapter with random weights, and return the model it was saved from."""
    torch.manual_seed(3)
    model = peft.get_peft_model(getattr(transformers, cls).from_pretrained(base, **options), settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.1))
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    # Relative to the adapter, as in a directory that was moved here from another machine.
    saved = {**json.loads(path.read_text("utf-8")), "base_model_name_or_path": "../base"}
    path.write_text(json.dumps(saved), "utf-8")
    return model.eval()


def merged_logits(adapter: Path, task: str, scratch: Path) -> torch.Tensor:
    plan = exporter.plan("bert", task, model=adapter)
    loaded = load_model(plan, make_loadable(plan, open_checkpoint(Source(str(adapter))), scratch))
    assert loaded.missing <= {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(input_ids=IDS, attention_mask=MASK).logits
    return logits


@pytest.mark.parametrize(
    "settings",
    [
        peft.LoraConfig(r=3, lora_alpha=9, target_modules=["query", "value"]),
        peft.LoraConfig(r=2, target_modules="all-linear", use_dora=True, use_rslora=True),
        peft.LoHaConfig(r=2, target_modules=["query", "dense"]),
        peft.IA3Config(target_modules=["key", "output.dense"], feedforward_modules=["output.dense"]),
    ],
    ids=["lora", "dora", "loha", "ia3"],
)
def test_a_merged_adapter_computes_what_peft_computes(settings: Any, base: Path, tmp_path: Path) -> None:
    model = train(base, tmp_path / "adapter", settings)
    with torch.no_grad():
        expected = model(input_ids=IDS, attention_mask=MASK).logits
        plain = transformers.BertForMaskedLM.from_pretrained(base).eval()(input_ids=IDS, attention_mask=MASK).logits
    torch.testing.assert_close(merged_logits(tmp_path / "adapter", "fill-mask", tmp_path / "s"), expected)
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_the_classifier_of_an_adapter_says_how_many_labels_there_are(base: Path, tmp_path: Path) -> None:
    settings = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], modules_to_save=["classifier"])
    adapter = tmp_path / "adapter"
    model = train(base, adapter, settings, "BertForSequenceClassification", num_labels=5)
    # The pooler is in neither file: as in PEFT's own use, it would be random, and a graph that reads it is refused.
    logits = merged_logits(adapter, "text-classification", tmp_path / "s")
    assert logits.shape == (2, 5)
    merged = load_file(tmp_path / "s/merged/model.safetensors")
    head = model.base_model.model.classifier.modules_to_save["default"].weight
    assert torch.equal(merged["classifier.weight"], head)
    assert "bert.pooler.dense.weight" not in merged


def test_a_build_names_base_adapter_and_method(base: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    train(base, adapter, peft.LoraConfig(r=3, target_modules=["query", "value"]))
    (adapter / "tokenizer_config.json").write_text('{"of": "the adapter"}', "utf-8")
    (base / "tokenizer_config.json").write_text('{"of": "the base"}', "utf-8")
    (base / "vocab.txt").write_text("a", "utf-8")
    config = json.loads((base / "config.json").read_text("utf-8"))
    (base / "config.json").write_text(json.dumps({**config, "output_attentions": True}), "utf-8")
    (result,) = exporter.build(model=adapter, output=tmp_path / "out")
    source = read_manifest(result.directory)["source"]
    assert source["name"] == "adapter"
    told = {"name": "adapter", "commit": None, "method": "LORA", "base": "base", "base_commit": None}
    assert source["adapter"] == told
    assert {"model.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"} <= {
        *source["files"]
    }
    assert any("the LORA adapter 'adapter' was merged into its base 'base'" in line for line in source["remarks"])
    assert len([line for line in source["remarks"] if "output_attentions" in line]) == 1
    assert str(tmp_path) not in (result.directory / "manifest.json").read_text("utf-8")
    assert json.loads((result.directory / "tokenizer_config.json").read_text("utf-8")) == {"of": "the adapter"}
    assert (result.directory / "vocab.txt").is_file()
    assert not (result.directory / "adapter_config.json").exists()


def test_weights_without_a_place_in_the_base_are_refused(base: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    train(base, adapter, peft.LoraConfig(r=3, target_modules=["query", "value"]))
    weights = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.bert.encoder.layer.7.attention.self.query.lora_A.weight"
    save_file({**weights, name: torch.ones(3, 24)}, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"has no place for: .*layer.7"):
        merged_logits(adapter, "fill-mask", tmp_path / "s")
    weights.pop(next(iter(weights)))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="lacks weights for its base"):
        merged_logits(adapter, "fill-mask", tmp_path / "t")


def test_an_adapter_that_adds_inputs_is_refused(base: Path, tmp_path: Path) -> None:
    settings = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3)
    train(base, tmp_path / "adapter", settings, "BertModel")
    with pytest.raises(CheckpointError, match=r"cannot be (merged|put)"):
        merged_logits(tmp_path / "adapter", "fill-mask", tmp_path / "s")


def test_companions_of_an_adapter_lie_over_those_of_its_base(base: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    train(base, adapter, peft.LoraConfig(r=3, target_modules=["query"]))
    (adapter / "added_tokens.json").write_text("{}", "utf-8")
    companions = find_companions(open_checkpoint(Source(str(adapter))))
    assert companions.files["added_tokens.json"] == adapter / "added_tokens.json"
    assert companions.files["config.json"] == base / "config.json"
    assert "adapter_config.json" not in companions.files
