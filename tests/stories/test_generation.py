"""Generation: what a client does with the exported graph of a decoder gives what the model gives by itself.

ONNX Runtime alone drives the graph: once over a batch of prompts of unequal length, padded on the left, with an empty
past, and then with the past that the graph handed back. The model is called as transformers' users call it, so that
nothing the exporter does to a cache, a mask or positions is on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

import exporter
from exporter.models.checkpoints import open_directory
from exporter.models.configs import quiet_libraries
from exporter.models.loading import load_model
from exporter.models.references import save_reference
from exporter.targets.onnx.exporter import attention_of, export_graph

TASK = "text-generation-with-past"
NEW_TOKENS = 20
PADDING = 98
# Lengths of the prompts of a batch: none, two and five tokens of padding.
PROMPTS = (7, 5, 2)
# Architectures whose attention reaches back over fewer tokens than the texts below have, in all layers or in some.
WINDOWED = ["gemma2", "gemma3_text", "gpt_neo", "mistral", "phi3", "qwen2", "starcoder2"]

Array = np.ndarray[Any, Any]
Export = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Save a reference as a checkpoint and export it: the directory of the checkpoint and the file of the graph."""

    @lru_cache
    def export(architecture: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(architecture)
        plan = exporter.plan(architecture, TASK)
        # A head tied to the embeddings answers with the token it was given, over and over, and that shows nothing.
        reference_config = {**plan.model.reference_config, "tie_word_embeddings": False}
        plan = replace(plan, model=replace(plan.model, reference_config=reference_config))
        save_reference(plan, folder)
        model = load_model(plan, open_directory(folder, "the reference"), attention=attention_of(plan)).model
        export_graph(model, plan.graphs[0], plan, folder)
        return folder, folder / plan.graphs[0].file

    return export


def make_prompts(seed: int) -> tuple[Array, Array]:
    """Return ids and mask of a batch of prompts, padded on the left."""
    length = max(PROMPTS)
    ids = np.random.default_rng(seed).integers(0, PADDING - 1, (len(PROMPTS), length))
    mask = np.array([[int(at >= length - size) for at in range(length)] for size in PROMPTS])
    return np.where(mask == 1, ids, PADDING), mask


class Graph:
    """An exported graph and the past it has handed back so far."""

    def __init__(self, path: Path, batch: int) -> None:
        self.session = onnxruntime.InferenceSession(str(path))
        self.past = {
            value.name: np.zeros([batch, value.shape[1], 0, value.shape[3]], dtype=np.float32)
            for value in self.session.get_inputs()
            if value.name.startswith("past_key_values.")
        }

    def step(self, ids: Array, mask: Array) -> Array:
        """Return the scores at the given tokens, which come after all those given before; the mask covers both."""
        logits, *present = self.session.run(None, {"input_ids": ids, "attention_mask": mask, **self.past})
        self.past = dict(zip(self.past, present, strict=True))
        scores: Array = logits
        return scores


def load_own(checkpoint: Path) -> Any:
    with quiet_libraries():
        return transformers.AutoModelForCausalLM.from_pretrained(checkpoint, local_files_only=True).eval()


@pytest.mark.parametrize("architecture", ["bloom", "gpt2", "gptj", "llama", "opt", *WINDOWED])
def test_greedy_generation_is_the_models_own(architecture: str, exported: Export) -> None:
    checkpoint, path = exported(architecture)
    ids, mask = make_prompts(seed=len(architecture))
    model = load_own(checkpoint)
    # Nothing ends a text early: all rows get the same number of tokens, as the loop below gives them.
    model.generation_config.eos_token_id = None
    with quiet_libraries():
        expected = model.generate(
            torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=PADDING,
        )
    graph, tokens, step, margins = Graph(path, len(ids)), ids, ids, []
    for _ in range(NEW_TOKENS):
        scores = graph.step(step, mask)[:, -1]
        step = scores.argmax(-1)[:, None]
        margins.append(float(np.diff(np.sort(scores, axis=-1)[:, -2:], axis=-1).min()))
        tokens, mask = np.concatenate([tokens, step], 1), np.concatenate([mask, np.ones_like(step)], 1)
    # With random weights two tokens may be almost equally likely; a difference there would be no mistake of the graph.
    assert tokens.tolist() == expected.tolist(), f"the two likeliest tokens were as close as {min(margins):.1e}"
    assert len(np.unique(tokens[:, ids.shape[1] :])) > 3, "a text that repeats one token shows nothing"


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("architecture", WINDOWED)
def test_a_window_reaches_over_the_past_as_over_one_text(architecture: str, padded: bool, exported: Export) -> None:
    checkpoint, path = exported(architecture)
    length = 20
    rng = np.random.default_rng(len(architecture))
    ids = rng.integers(0, PADDING - 1, (2, length))
    mask = np.ones_like(ids)
    if padded:
        mask[1, :3] = 0
    positions = np.maximum(mask.cumsum(-1) - 1, 0)
    with torch.no_grad(), quiet_libraries():
        outputs = load_own(checkpoint)(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            position_ids=torch.from_numpy(positions),
            use_cache=False,
        )
    expected = outputs.logits.numpy()
    graph, at, pieces = Graph(path, len(ids)), 0, []
    for step in (9, 1, 1, 4, 1, 4):  # a prompt, then single tokens and continuations
        pieces.append(graph.step(ids[:, at : at + step], mask[:, : at + step]))
        at += step
    assert at == length
    seen = mask.astype(bool)
    np.testing.assert_allclose(np.concatenate(pieces, 1)[seen], expected[seen], atol=5e-5, rtol=1e-5)
