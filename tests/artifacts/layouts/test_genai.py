"""What onnxruntime-genai is told of a decoder, and which decoders it cannot run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import exporter
from exporter.artifacts.layouts.genai import LAYOUT, describe
from exporter.errors import CheckpointError, UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.models.configs import make_config
from exporter.planning.plan import Plan

TASK = "text-generation-with-past"


@pytest.fixture
def decoder(tmp_path: Path) -> tuple[Plan, Checkpoint, Any]:
    """A plan, a checkpoint without a generation config, and the config of the plan's model."""
    config = make_config("gpt2", exporter.load_spec("gpt2").reference)
    return exporter.plan("gpt2", TASK, layout="genai"), Checkpoint(tmp_path, "mine", ()), config


def test_sizes_are_those_of_the_graph(decoder: tuple[Plan, Checkpoint, Any]) -> None:
    plan, checkpoint, config = decoder
    model = describe(plan, checkpoint, config)["model"]
    assert (model["context_length"], model["vocab_size"]) == (config.n_positions, config.vocab_size)
    described = model["decoder"]
    assert described["head_size"] * described["num_key_value_heads"] == described["hidden_size"] == config.n_embd
    assert (described["num_hidden_layers"], described["filename"]) == (config.n_layer, "model.onnx")
    names = {tensor.name for tensor in plan.graphs[0].inputs}
    assert {name % 0 if "%d" in name else name for name in described["inputs"].values()} <= names
    outputs = {tensor.name for tensor in plan.graphs[0].outputs}
    assert {name % 0 if "%d" in name else name for name in described["outputs"].values()} <= outputs


def test_generation_has_the_last_word_on_tokens_and_search(decoder: tuple[Plan, Checkpoint, Any]) -> None:
    plan, checkpoint, config = decoder
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 2, None
    told = describe(plan, checkpoint, config)
    assert {name: told["model"][name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")} == {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    generation = {"eos_token_id": [7, 8], "top_k": 5, "top_p": None, "unknown": 3}
    (checkpoint.path / "generation_config.json").write_text(json.dumps(generation), "utf-8")
    told = describe(plan, checkpoint, config)
    assert (told["model"]["eos_token_id"], told["model"]["pad_token_id"]) == ([7, 8], 7)
    assert (told["search"]["top_k"], told["search"]["top_p"]) == (5, 1.0)
    assert "unknown" not in told["search"]
    assert told["search"]["max_length"] == config.n_positions


def test_what_it_must_know_and_nobody_says_is_asked_for(decoder: tuple[Plan, Checkpoint, Any]) -> None:
    plan, checkpoint, config = decoder
    config.eos_token_id = None
    with pytest.raises(CheckpointError, match="which token ends a text") as failure:
        describe(plan, checkpoint, config)
    assert "eos_token_id" in (failure.value.help or "")
    text = SimpleNamespace(eos_token_id=2)
    with pytest.raises(CheckpointError, match="how long a text can be") as failure:
        describe(plan, checkpoint, SimpleNamespace(get_text_config=lambda decoder: text))
    assert "max_position_embeddings" in (failure.value.help or "")


@pytest.mark.parametrize("text", ["[]", "{", "[" * 9999])
def test_a_generation_config_that_is_none_is_told(text: str, decoder: tuple[Plan, Checkpoint, Any]) -> None:
    plan, checkpoint, config = decoder
    (checkpoint.path / "generation_config.json").write_text(text, "utf-8")
    with pytest.raises(CheckpointError, match=r"generation_config.json of 'mine' holds no JSON object"):
        describe(plan, checkpoint, config)


def test_the_config_is_written_beside_the_graph(decoder: tuple[Plan, Checkpoint, Any]) -> None:
    plan, checkpoint, config = decoder
    config.bos_token_id = config.eos_token_id = 2
    LAYOUT.finish(checkpoint.path, plan, checkpoint, config)
    written = json.loads((checkpoint.path / "genai_config.json").read_text("utf-8"))
    assert written == describe(plan, checkpoint, config)


@pytest.mark.parametrize(
    ("architecture", "task", "message"),
    [
        ("gpt2", "text-generation", "not for gpt2 text-generation"),
        ("bert", "fill-mask", "not for bert fill-mask"),
        ("bloom", TASK, None),
        ("gpt2", TASK, None),
    ],
)
def test_only_a_decoder_with_a_plain_cache_is_taken(architecture: str, task: str, message: str | None) -> None:
    spec = exporter.load_spec(architecture)
    if message is None:
        LAYOUT.arrangement.refuse(spec, spec.tasks[task])
        return
    with pytest.raises(UsageError, match=message):
        LAYOUT.arrangement.refuse(spec, spec.tasks[task])
