"""optimum's classes load artifacts as they are built, and give what PyTorch gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clients import pytorch
from clients.checkpoints import SENTENCES
from clients.conftest import TRAINED, Artifact
from clients.environments import Array, Installer, run_on_arrays

pytestmark = [pytest.mark.clients, pytest.mark.timeout(2400)]

TEXTS = SENTENCES[:3]
# Beginnings of unequal length.
PROMPTS = ["The train", "Nobody knows where the old", "He bought three apples, two pears and"]
ATOL = 2e-5


Ask = Callable[..., dict[str, Array]]


@pytest.fixture
def ask(installer: Installer, artifact: Artifact, tmp_path: Path) -> Ask:
    """Run an artifact of a kind in a class of optimum, on arrays or on texts for the artifact's own tokenizer."""

    def ask(
        class_name: str, kind: str, arrays: dict[str, Array] | None = None, merged: bool = False, **request: Any
    ) -> dict[str, Array]:
        settings = {"texts": None, "padding_side": "right", "generate": None, **request}
        asked = {"class": class_name, "directory": artifact(kind, merged=merged), **settings}
        return run_on_arrays(installer.optimum(), "optimum_model.py", asked, arrays or {}, tmp_path / kind)

    return ask


def assert_close(answered: Array, expected: Array) -> None:
    np.testing.assert_allclose(answered, expected, rtol=0, atol=ATOL)
    print(f"largest difference {np.abs(answered - expected).max():.1e}")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("FeatureExtraction", "sentences"),
        ("FeatureExtraction", TRAINED),
        ("SequenceClassification", "moods"),
        ("TokenClassification", "parts"),
    ],
)
def test_a_text_encoder(head: str, kind: str, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    # PyTorch's class without a head is plainly AutoModel.
    auto, output = (
        ("AutoModel", "last_hidden_state") if head == "FeatureExtraction" else (f"AutoModelFor{head}", "logits")
    )
    expected = pytorch.call(auto, checkpoint(kind), pytorch.tokenize(checkpoint(kind), TEXTS))
    assert_close(ask(f"ORTModelFor{head}", kind, texts=TEXTS)[output], expected[output])


def test_an_image_classifier(ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    pixels = pytorch.pixels_of(pytorch.picture())
    expected = pytorch.call("AutoModelForImageClassification", checkpoint("things"), pixels)
    assert_close(ask("ORTModelForImageClassification", "things", pixels)["logits"], expected["logits"])


GENERATE = {"do_sample": False, "num_beams": 1, "max_new_tokens": pytorch.NEW_TOKENS}


@pytest.mark.parametrize("kind", ["stories", "essays"])
def test_a_decoder_generates(kind: str, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    inputs = pytorch.tokenize(checkpoint(kind), PROMPTS, "left")
    expected = pytorch.generate("AutoModelForCausalLM", checkpoint(kind), inputs)
    answered = ask("ORTModelForCausalLM", kind, texts=PROMPTS, padding_side="left", generate=GENERATE)
    assert answered["tokens"].tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["stories", "essays"])
def test_a_decoder_scores(kind: str, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    inputs = pytorch.tokenize(checkpoint(kind), PROMPTS[-1:])
    expected = pytorch.call("AutoModelForCausalLM", checkpoint(kind), inputs)
    assert_close(ask("ORTModelForCausalLM", kind, texts=PROMPTS[-1:])["logits"], expected["logits"])


MERGED = pytest.mark.parametrize("merged", [False, True], ids=["two-decoders", "merged"])


@MERGED
def test_an_encoder_decoder_generates(merged: bool, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    inputs = pytorch.tokenize(checkpoint("translations"), TEXTS)
    expected = pytorch.generate("AutoModelForSeq2SeqLM", checkpoint("translations"), inputs)
    answered = ask("ORTModelForSeq2SeqLM", "translations", merged=merged, texts=TEXTS, generate=GENERATE)
    assert answered["tokens"].tolist() == expected.tolist()


@MERGED
def test_an_encoder_decoder_scores(merged: bool, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    inputs = {**pytorch.tokenize(checkpoint("translations"), TEXTS), "decoder_input_ids": np.array([[0, 7, 9, 4]] * 3)}
    expected = pytorch.call("AutoModelForSeq2SeqLM", checkpoint("translations"), inputs)
    assert_close(ask("ORTModelForSeq2SeqLM", "translations", inputs, merged=merged)["logits"], expected["logits"])


@MERGED
def test_a_recogniser_of_speech_generates(merged: bool, ask: Ask, checkpoint: Callable[[str], Path]) -> None:
    features = pytorch.features_of(checkpoint("recordings"), pytorch.recording())
    expected = pytorch.generate("AutoModelForSpeechSeq2Seq", checkpoint("recordings"), features)
    answered = ask("ORTModelForSpeechSeq2Seq", "recordings", features, merged=merged, generate=GENERATE)
    assert answered["tokens"].tolist() == expected.tolist()
