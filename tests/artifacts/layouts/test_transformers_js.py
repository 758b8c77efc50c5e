"""What transformers.js finds and is told, and which checkpoints lack a file that it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter.artifacts.layouts.transformers_js import LAYOUT
from exporter.errors import CheckpointError, UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.planning.plan import Plan

TASK = "text2text-generation-with-past"


@pytest.fixture
def plan() -> Plan:
    return exporter.plan("t5", TASK, layout="transformers-js")


def finish(folder: Path, plan: Plan, config: dict[str, Any], *external: str) -> dict[str, Any]:
    """Finish a directory with the weights of some graphs beside them, and return its config."""
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "onnx").mkdir()
    for name in external:
        (folder / "onnx" / f"{name}_data").write_bytes(b"x")
    LAYOUT.finish(folder, plan, Checkpoint(folder, "mine", ()), None)
    written: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return written


def test_one_decoder_serves_every_step_below_onnx(plan: Plan) -> None:
    assert [graph.file for graph in plan.graphs] == ["onnx/encoder_model.onnx", "onnx/decoder_model_merged.onnx"]
    assert plan.graphs[0].inputs[0].shape[0] == "batch_size"
    assert "batch_size" in plan.sizes.trace.sizes


def test_the_library_is_told_that_graphs_are_float32(plan: Plan, tmp_path: Path) -> None:
    theirs = {"device": "wasm", "dtype": "q8", "use_external_data_format": True}
    written = finish(tmp_path, plan, {"model_type": "t5", "transformers.js_config": theirs})
    assert written == {"model_type": "t5", "transformers.js_config": {"device": "wasm", "dtype": "fp32"}}


@pytest.mark.parametrize(
    ("external", "told"),
    [
        (["encoder_model.onnx", "decoder_model_merged.onnx"], True),
        (["decoder_model_merged.onnx"], {"decoder_model_merged.onnx": True}),
    ],
)
def test_the_library_is_told_which_weights_are_beside(
    external: list[str], told: Any, plan: Plan, tmp_path: Path
) -> None:
    written = finish(tmp_path, plan, {"transformers.js_config": "nonsense"}, *external)
    assert written["transformers.js_config"] == {"dtype": "fp32", "use_external_data_format": told}


@pytest.mark.parametrize(
    ("architecture", "task", "files", "missing"),
    [
        ("bert", "fill-mask", [], "no tokenizer.json and no tokenizer_config.json"),
        ("bert", "fill-mask", ["tokenizer.json"], "no tokenizer_config.json"),
        ("bert", "fill-mask", ["tokenizer.json", "tokenizer_config.json"], None),
        ("vit", "image-classification", [], "no preprocessor_config.json"),
        ("vit", "image-classification", ["preprocessor_config.json"], None),
        ("clip", "zero-shot-image-classification", ["preprocessor_config.json"], "no tokenizer.json"),
    ],
)
def test_a_checkpoint_without_the_files_for_its_inputs_is_refused(
    architecture: str, task: str, files: list[str], missing: str | None, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}", "utf-8")
    declared = exporter.load_spec(architecture).tasks[task]
    LAYOUT.check(None, declared)
    if missing is None:
        LAYOUT.check(Checkpoint(tmp_path, "mine", ()), declared)
        return
    with pytest.raises(CheckpointError, match=missing) as refusal:
        LAYOUT.check(Checkpoint(tmp_path, "mine", ()), declared)
    assert (refusal.value.help or "").endswith(".save_pretrained('mine')")


@pytest.mark.parametrize(("architecture", "task"), [("gpt2", "text-generation"), ("t5", "text2text-generation")])
def test_generation_without_a_cache_is_refused(architecture: str, task: str) -> None:
    spec = exporter.load_spec(architecture)
    with pytest.raises(UsageError, match="has no cache") as refusal:
        LAYOUT.arrangement.refuse(spec, spec.tasks[task])
    assert refusal.value.help == f"build the task {task}-with-past"
    LAYOUT.arrangement.refuse(spec, spec.tasks[f"{task}-with-past"])
