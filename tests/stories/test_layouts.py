"""Layouts: the files each has, that they are verified as any artifact is, and what is refused with which reason.

The merged decoder is driven by ONNX Runtime alone, from an empty cache on, and generates what the model does.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import transformers
from commands import REPOSITORY
from seq2seq import NEW_TOKENS, START, TEXTS, Array, generate_plainly, make_inputs

import exporter
from exporter.artifacts.layouts import LAYOUTS
from exporter.building.requests import plan_builds
from exporter.errors import CheckpointError, ExporterError, UsageError
from exporter.models.references import save_reference

MERGED = {
    "bart": "text2text-generation-with-past",
    "marian": "text2text-generation-with-past",
    "t5": "text2text-generation-with-past",
    "whisper": "automatic-speech-recognition-with-past",
}


def save_checkpoint(folder: Path, architecture: str, task: str, *beside: str, **reference: Any) -> Path:
    """Save a reference as a checkpoint, with empty files beside it that a layout asks for."""
    plan = exporter.plan(architecture, task)
    model = replace(plan.model, reference_config={**plan.model.reference_config, **reference})
    save_reference(replace(plan, model=model), folder)
    for name in beside:
        (folder / name).write_text("{}")
    return folder


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


def files_of(folder: Path) -> list[str]:
    """Return the files of an artifact but for its vectors."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if "test_data_set_" not in path)


class MergedDecoder:
    """One session for every step, given an empty cache first and then what it handed back."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.session = onnxruntime.InferenceSession(str(folder / "decoder_model_merged.onnx"))
        self.past = {
            value.name: np.zeros([batch, value.shape[1], 0, value.shape[3]], np.float32)
            for value in self.session.get_inputs()
            if value.name.startswith("past_key_values.")
        }

    def step(self, ids: Array, encoded: Mapping[str, Array]) -> Array:
        later = any(past.shape[2] for past in self.past.values())
        outputs = self.session.run(
            None, {"input_ids": ids, **encoded, **self.past, "use_cache_branch": np.array([later])}
        )
        for value, output in zip(self.session.get_outputs()[1:], outputs[1:], strict=True):
            self.past[value.name.replace("present", "past_key_values")] = output
        scores: Array = outputs[0][:, -1]
        return scores


@pytest.mark.parametrize("architecture", MERGED)
def test_the_merged_decoder_generates_what_the_model_does(architecture: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "saved", architecture, MERGED[architecture], tie_word_embeddings=False)
    (built,) = exporter.build(model=checkpoint, task=MERGED[architecture], merged=True, output=tmp_path / "built")
    assert [graph.file for graph in built.plan.graphs] == ["encoder_model.onnx", "decoder_model_merged.onnx"]
    encoder = onnxruntime.InferenceSession(str(built.directory / "encoder_model.onnx"))
    config = transformers.AutoConfig.from_pretrained(checkpoint, local_files_only=True)
    inputs = make_inputs(architecture, config.vocab_size, encoder)
    expected = generate_plainly(checkpoint, inputs)
    encoded = {"encoder_hidden_states": encoder.run(None, dict(inputs))[0]}
    if "attention_mask" in inputs:
        encoded["encoder_attention_mask"] = inputs["attention_mask"]
    decoder = MergedDecoder(built.directory, len(TEXTS))
    step = np.full((len(TEXTS), 1), START)
    tokens = step
    for _ in range(NEW_TOKENS):
        step = decoder.step(step, encoded).argmax(-1)[:, None]
        tokens = np.concatenate([tokens, step], 1)
    assert tokens.tolist() == expected
    assert len(np.unique(tokens[:, 1:])) > 3, "a text that repeats one token shows nothing"


def test_the_merged_decoder_has_no_branch_and_one_copy_of_its_weights(tmp_path: Path) -> None:
    (merged,) = exporter.build(
        "t5", task="text2text-generation-with-past", merged=True, weights="external", output=tmp_path / "merged"
    )
    (parted,) = exporter.build(
        "t5", task="text2text-generation-with-past", weights="external", output=tmp_path / "parted"
    )
    proto = onnx.load(str(merged.directory / "decoder_model_merged.onnx"))
    assert not {node.op_type for node in proto.graph.node} & {"If", "Loop", "Scan"}
    # The decoder of the first step has every weight, so the merged one is as large; that of later steps is saved.
    assert merged.files["decoder_model_merged.onnx_data"] == parted.files["decoder_model.onnx_data"]
    points = {(point.sizes["later_step"], point.sizes["past_encoder_sequence"]) for point in merged.plan.sizes.points}
    assert {(0, 0), (1, 13)} <= points
    assert exporter.verify(merged.directory).passed


def test_transformers_js_finds_its_files(tmp_path: Path) -> None:
    task = "text2text-generation-with-past"
    checkpoint = save_checkpoint(tmp_path / "saved", "t5", task, "tokenizer.json", "tokenizer_config.json")
    config = read(checkpoint / "config.json")
    told = {"transformers.js_config": {"device": "wasm", "dtype": "q8", "use_external_data_format": True}}
    (checkpoint / "config.json").write_text(json.dumps({**config, **told}))
    (built,) = exporter.build(model=checkpoint, task=task, layout="transformers-js", output=tmp_path / "built")
    assert files_of(built.directory) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "manifest.json",
        "onnx/decoder_model_merged.onnx",
        "onnx/encoder_model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    written = read(built.directory / "config.json")
    assert written.pop("transformers.js_config") == {"device": "wasm", "dtype": "fp32"}
    assert written == config
    proto = onnx.load(str(built.directory / "onnx/decoder_model_merged.onnx"))
    shapes = {value.name: value.type.tensor_type.shape.dim for value in proto.graph.input}
    assert shapes["past_key_values.0.encoder.key"][0].dim_param == "batch_size"
    assert exporter.verify(built.directory).passed


def test_transformers_js_is_told_of_weights_beside_a_graph(tmp_path: Path) -> None:
    build = {"task": "fill-mask", "layout": "transformers-js"}
    (built,) = exporter.build("distilbert", **build, weights="external", output=tmp_path / "artifact")
    assert {"onnx/model.onnx", "onnx/model.onnx_data"} <= set(files_of(built.directory))
    assert read(built.directory / "config.json")["transformers.js_config"]["use_external_data_format"] is True
    manifest = (built.directory / "manifest.json").read_bytes()
    exporter.build("distilbert", **build, weights="external", output=tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == manifest
    exporter.build("distilbert", task="fill-mask", output=tmp_path / "artifact")
    assert files_of(tmp_path / "artifact") == ["README.md", "config.json", "manifest.json", "model.onnx"]


def test_genai_is_told_the_sizes_of_the_cache_and_the_special_tokens(tmp_path: Path) -> None:
    task = "text-generation-with-past"
    checkpoint = save_checkpoint(tmp_path / "saved", "gpt2", task)
    (checkpoint / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [97, 5], "top_k": 7, "top_p": None, "num_beams": 2})
    )
    (built,) = exporter.build(model=checkpoint, task=task, layout="genai", output=tmp_path / "built")
    written = read(built.directory / "genai_config.json")
    model, decoder = written["model"], written["model"]["decoder"]
    config = transformers.AutoConfig.from_pretrained(checkpoint, local_files_only=True)
    past = next(tensor for tensor in built.plan.graphs[0].inputs if tensor.name == "past_key_values.0.key")
    assert (model["type"], model["bos_token_id"], model["eos_token_id"], model["pad_token_id"]) == (
        "decoder",
        97,
        [97, 5],
        98,
    )
    assert (model["context_length"], model["vocab_size"]) == (config.n_positions, config.vocab_size)
    assert (decoder["num_key_value_heads"], decoder["head_size"]) == (past.shape[1], past.shape[3])
    assert (decoder["num_hidden_layers"], decoder["hidden_size"]) == (config.n_layer, config.n_embd)
    assert decoder["filename"] == "model.onnx"
    names = {tensor.name for tensor in built.plan.graphs[0].inputs}
    assert {name % 0 if "%d" in name else name for name in decoder["inputs"].values()} <= names
    assert (written["search"]["top_k"], written["search"]["top_p"], written["search"]["num_beams"]) == (7, 1.0, 2)
    assert exporter.verify(built.directory).passed


def test_sentence_transformers_keeps_its_modules(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "saved", "bert", "feature-extraction", "sentence_bert_config.json")
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    listed = [{"idx": at, "path": path, "type": f"modules.{kind}"} for at, (path, kind) in enumerate(modules)]
    (checkpoint / "modules.json").write_text(json.dumps(listed))
    for folder, name in (("1_Pooling", "config.json"), ("2_Dense", "config.json"), ("2_Dense", "model.safetensors")):
        (checkpoint / folder).mkdir(exist_ok=True)
        (checkpoint / folder / name).write_text(f"{folder} {name}")
    build = {"model": checkpoint, "task": "feature-extraction", "layout": "sentence-transformers"}
    (built,) = exporter.build(**build, output=tmp_path / "built")
    assert files_of(built.directory) == [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "README.md",
        "config.json",
        "manifest.json",
        "modules.json",
        "onnx/model.onnx",
        "sentence_bert_config.json",
    ]
    assert (built.directory / "2_Dense/model.safetensors").read_text() == "2_Dense model.safetensors"
    assert exporter.verify(built.directory).passed
    listed[1]["path"] = "../elsewhere"
    (checkpoint / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        exporter.build(**build, output=tmp_path / "again")
    listed[1]["path"] = "5_Pooling"
    (checkpoint / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="no directory '5_Pooling'"):
        exporter.build(**build, output=tmp_path / "again")


@dataclass(frozen=True)
class Refused:
    """A build that a layout cannot hold, what the message has, and what its help has (None: anything)."""

    architecture: str
    task: str
    options: dict[str, Any]
    message: str
    help: str | None


TEXT = "text2text-generation"
REFUSED = [
    Refused("bert", "fill-mask", {"layout": "onnx"}, "unknown layout 'onnx'", "transformers-js"),
    Refused(
        "bert",
        "fill-mask",
        {"layout": "genai"},
        "for text-generation-with-past, not for bert fill-mask",
        "build the task",
    ),
    Refused(
        "gpt2", "text-generation", {"layout": "genai"}, "not for gpt2 text-generation", "text-generation-with-past"
    ),
    Refused("gpt2", "text-generation", {"layout": "transformers-js"}, "has no cache", "text-generation-with-past"),
    Refused("t5", TEXT, {"layout": "transformers-js"}, "has no cache", f"{TEXT}-with-past"),
    Refused("t5", TEXT, {"merged": True}, "one decoder for every step", "leave --merged out"),
    Refused(
        "t5",
        "feature-extraction-with-past",
        {"layout": "transformers-js"},
        "one decoder for every step",
        "leave --layout",
    ),
    Refused("t5", f"{TEXT}-with-past", {"merged": True, "monolith": True}, "two forms of one task", "leave one"),
    Refused("t5", f"{TEXT}-with-past", {"merged": True, "tracer": "dynamo"}, "takes an empty axis", None),
    Refused(
        "bert",
        "fill-mask",
        {"layout": "transformers-js", "dtype": "bfloat16"},
        "has no name for it",
        "leave --dtype out",
    ),
    Refused(
        "bert",
        "fill-mask",
        {"layout": "transformers-js", "dtype": "float16"},
        "takes the bits of a float16",
        "leave --dtype out",
    ),
    Refused(
        "vision-encoder-decoder",
        "image-to-text-with-past",
        {"merged": True, "opset": 13},
        "needs opset 14",
        "--opset 14",
    ),
    Refused("bert", "fill-mask", {"layout": "sentence-transformers"}, "gives no embeddings", "feature-extraction"),
    Refused(
        "bart", f"{TEXT}-with-past", {"merged": True, "targets": ("torchscript",)}, "does not go with", "leave it out"
    ),
    Refused(
        "bert",
        "fill-mask",
        {"layout": "genai", "targets": ("torchscript",)},
        "is one of onnx graphs",
        "leave --layout out",
    ),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: f"{refused.architecture}-{refused.message[:20]}")
def test_what_a_layout_cannot_hold_is_refused_before_any_work(refused: Refused, tmp_path: Path) -> None:
    given = {"tasks": (refused.task,), "output": tmp_path / "artifact", **refused.options}
    with pytest.raises(UsageError) as refusal:
        plan_builds([refused.architecture], given)
    assert refused.message in refusal.value.message
    assert refused.help is None or refused.help in (refusal.value.help or "")


@pytest.mark.parametrize(
    ("layout", "task", "beside", "message"),
    [
        ("transformers-js", "fill-mask", (), "no tokenizer.json and no tokenizer_config.json"),
        ("transformers-js", "fill-mask", ("tokenizer.json",), "no tokenizer_config.json"),
        ("sentence-transformers", "feature-extraction", (), "no modules.json"),
    ],
)
def test_a_checkpoint_without_the_files_of_a_layout_is_refused_before_any_work(
    layout: str, task: str, beside: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    checkpoint = save_checkpoint(tmp_path / "saved", "bert", task, *beside)
    given = {"model": str(checkpoint), "tasks": (task,), "output": tmp_path / "artifact", "layout": layout}
    with pytest.raises(ExporterError) as refusal:
        plan_builds([], given)
    assert message in refusal.value.message
    assert refusal.value.help


def test_an_input_beyond_the_cache_is_linted(tmp_path: Path) -> None:
    """The dim it goes on beyond must be bound, and be the length of a past."""
    text = """\
    spec_version: 1
    architecture: bart
    extends: encoder-decoder
    tasks: {text2text-generation-with-past: {}}
    reference: {config: {d_model: 60}}
    cache:
      components:
        decoder_model_merged:
          inputs:
            encoder_hidden_states: {type: "float[batch, encoder_sequence, hidden] = randn", beyond: DIM}
    """
    rules = {}
    for dim in ("past_encoder_sequence", "past_encoder", "decoder_sequence"):
        spec = tmp_path / dim / "bart.yaml"
        spec.parent.mkdir()
        spec.write_text(textwrap.dedent(text).replace("DIM", dim))
        rules[dim] = {finding.rule for finding in exporter.lint(spec).diagnostics}
    assert rules == {
        "past_encoder_sequence": set(),
        "past_encoder": {"unknown-dim", "cache-length-mismatch"},
        "decoder_sequence": {"cache-length-mismatch"},
    }


def test_every_layout_is_described_in_the_manual() -> None:
    manual = (REPOSITORY / "docs" / "layouts.md").read_text("utf-8")
    assert all(f"`{name}`" in manual for name in LAYOUTS)
