"""Pipelines of transformers.js in Node give, from local directories alone, what PyTorch gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from clients import pytorch
from clients.checkpoints import IMAGE_SIZE, SENTENCES
from clients.conftest import TRAINED, Artifact
from clients.environments import PROGRAMS, Array, Installer, run_program
from exporter.models.configs import quiet_libraries

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

TEXTS = SENTENCES[:3]
PROMPTS = ["The train", "Nobody knows where the old", "He bought three apples, two pears and"]
ATOL = 2e-5
GREEDY = {"max_new_tokens": pytorch.NEW_TOKENS, "do_sample": False}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def modules(installer: Installer) -> Path:
    return installer.transformers_js()


@pytest.fixture
def ask(modules: Path, artifact: Artifact, tmp_path: Path) -> Ask:
    """Run a pipeline on inputs, one after the other."""

    def ask(task: str, kind: str, inputs: Sequence[dict[str, Any]], **request: Any) -> dict[str, Any]:
        directory = artifact(kind, layout="transformers-js")
        settings = {"options": {}, "dtype": "fp32", "generate": False, "together": False, **request}
        asked = {
            "modules": modules,
            "directory": directory.parent,
            "model": directory.name,
            "task": task,
            "inputs": inputs,
        }
        answer = run_program(["node", PROGRAMS / "transformers_js.mjs"], {**asked, **settings}, tmp_path)
        print(f"transformers.js {answer['version']}")
        return answer

    return ask


def texts(values: Sequence[str]) -> list[dict[str, Any]]:
    return [{"text": value} for value in values]


def assert_close(answered: Any, expected: Array) -> None:
    np.testing.assert_allclose(np.array(answered), expected, rtol=0, atol=ATOL)
    print(f"largest difference {np.abs(np.array(answered) - expected).max():.1e}")


def softmax(scores: Array) -> Array:
    return np.asarray(torch.from_numpy(scores).softmax(-1).numpy())


def one_by_one(auto: str, directory: Path, output: str) -> list[Array]:
    """Return what PyTorch gives for each text by itself."""
    return [pytorch.call(auto, directory, pytorch.tokenize(directory, [text]))[output][0] for text in TEXTS]


@pytest.mark.parametrize("kind", ["sentences", TRAINED])
def test_feature_extraction(kind: str, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    expected = one_by_one("AutoModel", checkpoint(kind), "last_hidden_state")
    answer = ask("feature-extraction", kind, texts(TEXTS))
    for answered, states in zip(answer["answers"], expected, strict=True):
        assert_close(answered[0], states)
    pooled = ask("feature-extraction", kind, texts(TEXTS), options={"pooling": "mean", "normalize": True})
    means = [states.mean(0) / np.linalg.norm(states.mean(0)) for states in expected]
    assert_close([answered[0] for answered in pooled["answers"]], np.array(means))


def test_text_classification(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    answer = ask("text-classification", "moods", texts(TEXTS), options={"top_k": 3})
    expected = one_by_one("AutoModelForSequenceClassification", checkpoint("moods"), "logits")
    for labels, scores in zip(answer["answers"], expected, strict=True):
        by_label = {label["label"]: label["score"] for label in labels}
        assert_close([by_label[label] for label in ("glad", "sad", "angry")], softmax(scores))


def test_token_classification(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    answer = ask("token-classification", "parts", texts(TEXTS), options={"ignore_labels": []})
    expected = one_by_one("AutoModelForTokenClassification", checkpoint("parts"), "logits")
    for words, scores in zip(answer["answers"], expected, strict=True):
        inner = softmax(scores)[1:-1]  # without the tokens around the text
        labels = np.array(["noun", "verb", "name"])
        assert [word["entity"] for word in words] == labels[inner.argmax(-1)].tolist()
        assert_close([word["score"] for word in words], inner.max(-1))


@pytest.mark.parametrize("kind", ["stories", "essays"])
def test_text_generation(kind: str, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    expected = [
        pytorch.generate("AutoModelForCausalLM", checkpoint(kind), pytorch.tokenize(checkpoint(kind), [prompt]))[0]
        for prompt in PROMPTS
    ]
    answer = ask("text-generation", kind, texts(PROMPTS), options=GREEDY, generate=True, together=True)
    assert [tokens[0] for tokens in answer["tokens"]] == [tokens.tolist() for tokens in expected]
    assert [generated[0]["generated_text"] for generated in answer["answers"]] == decode(checkpoint(kind), expected)
    batch = pytorch.generate(
        "AutoModelForCausalLM", checkpoint(kind), pytorch.tokenize(checkpoint(kind), PROMPTS, "left")
    )
    assert [generated[0]["generated_text"] for generated in answer["together"]] == decode(checkpoint(kind), list(batch))


def test_text2text_generation(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("translations")
    expected = [
        pytorch.generate("AutoModelForSeq2SeqLM", folder, pytorch.tokenize(folder, [text]))[0] for text in TEXTS
    ]
    answer = ask("text2text-generation", "translations", texts(TEXTS), options=GREEDY, generate=True, together=True)
    assert [tokens[0] for tokens in answer["tokens"]] == [tokens.tolist() for tokens in expected]
    assert [generated[0]["generated_text"] for generated in answer["answers"]] == decode(folder, expected)
    batch = pytorch.generate("AutoModelForSeq2SeqLM", folder, pytorch.tokenize(folder, TEXTS))
    assert [generated["generated_text"] for generated in answer["together"]] == decode(folder, list(batch))


def test_image_classification(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    image = pytorch.picture()
    pixels = pytorch.pixels_of(image)
    (scores,) = pytorch.call("AutoModelForImageClassification", checkpoint("things"), pixels)["logits"]
    given = {"image": {"bytes": image.flatten().tolist(), "width": IMAGE_SIZE, "height": IMAGE_SIZE}}
    (labels,) = ask("image-classification", "things", [given], options={"top_k": 3})["answers"]
    by_label = {label["label"]: label["score"] for label in labels}
    assert_close([by_label[label] for label in ("cat", "ship", "tree")], softmax(scores))


def test_automatic_speech_recognition(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("recordings")
    sound = pytorch.recording()
    expected = pytorch.generate("AutoModelForSpeechSeq2Seq", folder, pytorch.features_of(folder, sound))
    answer = ask(
        "automatic-speech-recognition", "recordings", [{"samples": sound.tolist()}], options=GREEDY, generate=True
    )
    assert answer["tokens"][0][0][-len(expected[0]) :] == expected[0].tolist()
    assert [answer["answers"][0]["text"].strip()] == [text.strip() for text in decode(folder, list(expected))]


def decode(folder: Path, tokens: list[Array]) -> list[str]:
    with quiet_libraries():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return [tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
