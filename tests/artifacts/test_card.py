"""The text of a model card, from a plan and a manifest."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.artifacts.card import render_card, write_card
from exporter.artifacts.facts import Facts, Picture, Sound
from exporter.artifacts.front_matter import TheirCard
from exporter.artifacts.manifest import CARD, CARD_MARK, write_manifest
from exporter.errors import UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.planning.plan import Plan

WORST = [
    {"graph": "model", "output": "logits", "max_abs": 1.5e-6, "share": 0.25},
    {"graph": "model", "output": "logits", "max_abs": 3e-7, "share": 0.5},
]


def render(plan: Plan, facts: Facts | None = None, theirs: TheirCard | None = None, **changes: Any) -> str:
    manifest: dict[str, Any] = {
        "source": {"kind": "reference", "name": None, "commit": None, "files": {}, "remarks": []},
        "versions": {"exporter": "1.2.3", "torch": "4.5.6"},
        "report": {"passed": True, "runtime": "onnxruntime", "comparisons": 12, "worst": WORST, "unproved": []},
        "files": {"model.onnx": {}, "config.json": {}, "test_data_set_0/input_0.pb": {}},
    }
    return render_card(plan, {**manifest, **changes}, facts or Facts(), theirs or TheirCard({}))


def test_a_card_has_the_tensors_the_bound_and_what_was_measured() -> None:
    text = render(exporter.plan("bert", "fill-mask"))
    assert CARD_MARK in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {"pipeline_tag": "fill-mask", "library_name": "onnx", "tags": ["onnx", "bert", "fill-mask"]}
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
    assert "The checkpoint [somebody/model](https://huggingface.co/somebody/model) as a graph for onnx" in text
    assert "learnt nothing" not in text


@pytest.mark.parametrize("target", ["onnx", "torchscript", "torch-export"])
def test_every_target_has_a_program(target: str) -> None:
    text = render(exporter.plan("bert", "fill-mask", target=target))
    assert text.count("```python") == 1
    compile(text.split("```python\n")[1].split("```")[0], target, "exec")


def test_a_layout_may_have_a_library_of_its_own() -> None:
    plan = exporter.plan("bert", "fill-mask", layout="transformers-js")
    theirs = TheirCard({"library_name": "transformers"})
    assert yaml.safe_load(render(plan, theirs=theirs).split("---\n")[1])["library_name"] == "transformers.js"
    flat = render(exporter.plan("bert", "fill-mask"), theirs=theirs)
    assert yaml.safe_load(flat.split("---\n")[1])["library_name"] == "transformers"


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


def test_scores_have_the_names_of_their_labels_whatever_those_are() -> None:
    labels = ("glad", "a`b", "```\n# Heading\n<script>alert(1)</script>", *map(str, range(40)))
    text = render(exporter.plan("bert", "text-classification"), Facts(labels=labels, kind="several"))
    assert "0 `glad`, 1 ``a`b``" in text
    assert "and 23 more" in text
    assert "Several labels may hold at once" in text
    assert "\n# Heading" not in text
    assert "# Heading <script>" in text, "in a code span, where it means nothing"
    assert "What the scores mean" not in render(exporter.plan("bert", "fill-mask"), Facts(labels=labels))


@pytest.mark.parametrize(("dtype", "said"), [("float32", False), ("float16", True)])
def test_half_precision_says_that_rows_of_padding_were_not_compared(dtype: str, said: bool) -> None:
    assert (
        "Rows of nothing but padding were not compared" in render(exporter.plan("bert", "fill-mask", dtype=dtype))
    ) is said
    pictures = render(exporter.plan("vit", "image-classification", dtype=dtype))
    assert "Rows of nothing but padding" not in pictures, "nothing of it is padded"


def test_a_card_says_what_becomes_of_a_picture_and_of_a_sound() -> None:
    picture = Picture((24, 36), ("scaled", "normalised by a mean and a deviation"))
    text = render(exporter.plan("vit", "image-classification"), Facts(picture=picture))
    assert '`AutoImageProcessor.from_pretrained(".")`: scaled, normalised by a mean and a deviation' in text
    assert "24 × 36 points" in text
    assert "Image.new" in text
    text = render(exporter.plan("wav2vec2", "audio-classification"), Facts(sound=Sound(8000, 1, None)))
    assert "from 8,000 samples a second" in text
    assert "rate = 8000" in text


def test_a_picture_of_another_size_is_not_given_to_the_graph() -> None:
    text = render(exporter.plan("vit", "image-classification"), Facts(picture=Picture((30, 30), ())))
    assert "Image.new" not in text
    assert "Random inputs stand for real ones: no short program can make those" in text


def test_the_card_of_the_checkpoint_is_linked() -> None:
    files = {"model.onnx": {}, "config.json": {}, "README.checkpoint.md": {}}
    source = {"kind": "checkpoint", "name": "my `[model]`", "commit": None, "files": {}, "remarks": []}
    plan = exporter.plan("bert", "fill-mask")
    text = render(plan, theirs=TheirCard({}, unreadable=True), files=files, source=source)
    assert "[README.checkpoint.md](README.checkpoint.md)" in text
    assert "Its front matter could not be read" in text
    assert "The checkpoint `` my `[model]` `` as a graph" in text
    assert "front matter" not in render(plan, files=files, source=source)


@pytest.mark.parametrize(
    ("architecture", "task", "layout", "heading"),
    [
        ("bert", "fill-mask", "transformers-js", "## With transformers.js"),
        ("gpt2", "text-generation-with-past", "genai", "## With onnxruntime-genai"),
        ("bert", "feature-extraction", "sentence-transformers", "## With sentence-transformers"),
    ],
)
def test_the_library_of_a_layout_has_a_program(architecture: str, task: str, layout: str, heading: str) -> None:
    checkpoint = {"kind": "checkpoint", "name": "mine", "commit": None, "files": {}, "remarks": []}
    plan = exporter.plan(architecture, task)
    recording = dataclasses.replace(plan.recording, layout=layout)
    text = render(dataclasses.replace(plan, recording=recording), source=checkpoint)
    assert heading in text
    assert heading not in render(plan, source=checkpoint)
