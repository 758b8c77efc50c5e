"""Generation of encoder-decoders: the exported components, driven by ONNX Runtime alone, give what ``generate`` gives.

The encoder runs once over a batch, the decoder once on the start token, and the decoder with past on one token at a
time with the cache that the step before handed back. Texts have unequal lengths and are padded on the right, as the
tokenizers of these models pad them. The model is called as transformers' users call it, with a plain generation config:
greedy, and no token is forced, forbidden or ends a text early. What a checkpoint asks for beside that is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from seq2seq import NEW_TOKENS, START, TEXTS, Array, generate_plainly, make_inputs

import exporter
from exporter.building.requests import plan_builds
from exporter.models.checkpoints import open_directory
from exporter.models.loading import load_model
from exporter.models.patches import applied_patches
from exporter.models.references import save_reference
from exporter.targets.onnx.exporter import attention_of, export_graph

TASKS = {
    "bart": "text2text-generation-with-past",
    "longt5": "text2text-generation-with-past",
    "m2m_100": "text2text-generation-with-past",
    "marian": "text2text-generation-with-past",
    "t5": "text2text-generation-with-past",
    "whisper": "automatic-speech-recognition-with-past",
}

Export = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Save a reference as a checkpoint and export it, and return the directory of both."""

    @lru_cache
    def export(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp(architecture)
        plan = exporter.plan(architecture, TASKS[architecture])
        # A head tied to the embeddings answers with the token it was given, over and over, and that shows nothing.
        reference_config = {**plan.model.reference_config, "tie_word_embeddings": False}
        plan = replace(plan, model=replace(plan.model, reference_config=reference_config))
        save_reference(plan, folder)
        model = load_model(plan, open_directory(folder, "the reference"), attention=attention_of(plan)).model
        for graph in plan.graphs:
            with applied_patches(plan.recording.patches, model):
                export_graph(model, graph, plan, folder)
        return folder

    return export


class Components:
    """The three graphs of an artifact, and the cache they have handed back so far."""

    def __init__(self, folder: Path) -> None:
        self.encoder, self.decoder, self.decoder_with_past = (
            onnxruntime.InferenceSession(str(folder / f"{name}_model.onnx"))
            for name in ("encoder", "decoder", "decoder_with_past")
        )
        self.encoded: dict[str, Array] = {}
        self.past: dict[str, Array] = {}

    def encode(self, inputs: Mapping[str, Array]) -> None:
        (hidden,) = self.encoder.run(None, dict(inputs))
        self.encoded = {"encoder_hidden_states": hidden}
        if "attention_mask" in inputs:
            self.encoded["encoder_attention_mask"] = inputs["attention_mask"]

    def step(self, ids: Array) -> Array:
        """Return the scores of the token after the given ones, which come after all those given before."""
        session = self.decoder_with_past if self.past else self.decoder
        names = [value.name for value in session.get_inputs()]
        offered = {"input_ids": ids, **self.encoded, **self.past}
        outputs = session.run(None, {name: offered[name] for name in names})
        for value, output in zip(session.get_outputs()[1:], outputs[1:], strict=True):
            # The decoder with past hands back the decoder's part; the encoder's stays what the first step gave.
            self.past[value.name.replace("present", "past_key_values")] = output
        scores: Array = outputs[0][:, -1]
        return scores


@pytest.mark.parametrize("architecture", TASKS)
def test_greedy_generation_is_the_models_own(architecture: str, exported: Export) -> None:
    folder = exported(architecture)
    graphs = Components(folder)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    inputs = make_inputs(architecture, config.vocab_size, graphs.encoder)
    expected = generate_plainly(folder, inputs)
    graphs.encode(inputs)
    step = np.full((len(TEXTS), 1), START)
    tokens, margins = step, []
    for _ in range(NEW_TOKENS):
        scores = graphs.step(step)
        step = scores.argmax(-1)[:, None]
        margins.append(float(np.diff(np.sort(scores, axis=-1)[:, -2:], axis=-1).min()))
        tokens = np.concatenate([tokens, step], 1)
    # With random weights two tokens may be almost equally likely; a difference there would be no mistake of the graphs.
    assert tokens.tolist() == expected, f"the two likeliest tokens were as close as {min(margins):.1e}"
    assert len(np.unique(tokens[:, 1:])) > 3, "a text that repeats one token shows nothing"
    assert len({tuple(row) for row in tokens[:, 1:].tolist()}) == len(TEXTS), (
        "texts that read alike show nothing of the encoder"
    )


def test_a_translation_checkpoint_builds_for_what_it_was_trained(tmp_path: Path) -> None:
    """Its positions are a table of sinusoids, computed and never saved, and its class is named like no auto class."""
    save_reference(exporter.plan("marian", "text2text-generation"), tmp_path)
    loaded = load_model(exporter.plan("marian", "feature-extraction"), open_directory(tmp_path, "the reference"))
    assert loaded.missing == set()
    positions = loaded.model.encoder.embed_positions
    torch.testing.assert_close(positions.weight.data, positions.create_weight())
    (build,) = plan_builds([], {"model": str(tmp_path)})
    assert build.task == "text2text-generation-with-past"
