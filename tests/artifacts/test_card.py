"""The text of a model card, from a plan and a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.artifacts.card import render_card, write_card
from exporter.artifacts.manifest import CARD, CARD_MARK, write_manifest
from exporter.errors import UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.planning.plan import Plan

WORST = [
    {"graph": "model", "output": "logits", "max_abs": 1.5e-6, "share": 0.25},
    {"graph": "model", "output": "logits", "max_abs": 3e-7, "share": 0.5},
]


def render(plan: Plan, *, start: int = 0, **changes: Any) -> str:
    manifest: dict[str, Any] = {
        "source": {"kind": "reference", "name": None, "commit": None, "files": {}, "remarks": []},
        "versions": {"exporter": "1.2.3", "torch": "4.5.6"},
        "report": {"passed": True, "runtime": "onnxruntime", "comparisons": 12, "worst": WORST, "unproved": []},
        "files": {"model.onnx": {}, "config.json": {}, "test_data_set_0/input_0.pb": {}},
    }
    return render_card(plan, {**manifest, **changes}, start)


def test_a_card_has_the_tensors_the_bound_and_what_was_measured() -> None:
    text = render(exporter.plan("bert", "fill-mask"))
    assert CARD_MARK in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {"library_name": "onnx", "tags": ["onnx", "bert", "fill-mask"]}
    assert "| `input_ids` | `int64[batch, sequence]` |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| `logits` |")]
    assert "1.5e-06" in row
    assert "50%" in row
    assert "exporter 1.2.3" in text
    assert "`config.json`" in text
    assert "test_data_set_0/input_0.pb" not in text


def test_a_card_says_what_was_not_proved() -> None:
    report = {"passed": True, "runtime": "onnxruntime", "comparisons": 12, "worst": WORST}
    plan = exporter.plan("bert", "fill-mask")
    text = render(plan, report={**report, "unproved": ["model: 'logits' is zero, whatever the inputs"]})
    assert "proves nothing about some of it" in text
    assert "- model: 'logits' is zero, whatever the inputs" in text
    assert "proves nothing" not in render(plan)


def test_a_card_says_that_nothing_was_verified() -> None:
    text = render(exporter.plan("bert", "fill-mask"), report=None)
    assert "**It was not.**" in text
    assert "not measured" in text


def test_a_card_names_its_checkpoint() -> None:
    source = {
        "kind": "checkpoint",
        "name": "somebody/model",
        "commit": "0" * 40,
        "files": {},
        "remarks": ["2 weights are left out"],
    }
    text = render(exporter.plan("bert", "fill-mask"), source=source)
    assert "- 2 weights are left out" in text
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "somebody/model"
    assert "The checkpoint `somebody/model` as a graph for onnx" in text
    assert "learnt nothing" not in text


@pytest.mark.parametrize("target", ["onnx", "torchscript", "torch-export"])
def test_every_target_has_a_program(target: str) -> None:
    text = render(exporter.plan("bert", "fill-mask", target=target))
    assert text.count("```python") == 1
    compile(text.split("```python\n")[1].split("```")[0], target, "exec")


def test_a_layout_may_have_a_library_of_its_own() -> None:
    text = render(exporter.plan("bert", "fill-mask", layout="transformers-js"))
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "transformers.js"


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"generation_config.json": {"decoder_start_token_id": 5}, "config.json": {"decoder_start_token_id": 6}}, 5),
        ({"generation_config.json": {}, "config.json": {"decoder_start_token_id": 6}}, 6),
        ({"config.json": []}, 0),
        ({}, 0),
    ],
)
def test_a_decoder_starts_with_the_token_its_files_name(files: dict[str, Any], start: int, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("config.json", "model.safetensors"):
        (source / name).write_text("{}", "utf-8")
    folder = tmp_path / "artifact"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data), "utf-8")
    plan = exporter.plan("t5", "text2text-generation")
    write_manifest(folder, plan, Checkpoint(source, "mine", ("model.safetensors",)), None)
    write_card(folder)
    text = (folder / CARD).read_text("utf-8")
    assert f"tokens = np.array([[{start}]])" in text


def test_a_directory_that_is_no_artifact_gets_no_card(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an artifact"):
        write_card(tmp_path)
    assert not (tmp_path / CARD).exists()
