"""`FeaturesManager`, and the names features go by."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from commands import REPOSITORY

from exporter.errors import CheckpointError, UsageError
from exporter.language.catalog import load_tasks, resolve_task
from exporter.onnx import FeaturesManager


def test_models_of_features(masked_lm, tmp_path: Path, caplog):
    keras = REPOSITORY / "tests" / "foreign" / "tf" / "distilbert__ForQuestionAnswering"
    assert FeaturesManager.determine_framework(str(keras)) == "tf"
    assert FeaturesManager.determine_framework("organization/model") == "pt"
    assert FeaturesManager.determine_framework("organization/model", "tf") == "tf"
    model = FeaturesManager.get_model_from_feature("question-answering", str(keras))
    assert type(model) is transformers.DistilBertForQuestionAnswering
    assert not model.training
    assert FeaturesManager.feature_to_task("causal-lm-with-past") == "causal-lm"

    FeaturesManager.get_model_from_feature("token-classification", str(masked_lm))
    assert "has no values for classifier.bias, classifier.weight: they are random" in caplog.text
    with pytest.raises(UsageError, match="has no task 'seq2seq-lm'"):
        FeaturesManager.get_model_from_feature("seq2seq-lm", str(masked_lm))
    with pytest.raises(CheckpointError, match="has no TensorFlow weights"):
        FeaturesManager.get_model_from_feature("masked-lm", str(masked_lm), framework="tf")
    with pytest.raises(UsageError, match="there is no spec for the architecture 'nonsense'"):
        FeaturesManager.get_supported_features_for_model_type("nonsense")
    with pytest.raises(UsageError, match="has no feature 'causal-lm'"):
        FeaturesManager.get_config("distilbert", "causal-lm")


def test_tasks_go_by_all_their_names():
    words = [word for task in load_tasks().values() for word in set(task.words)]
    assert len(words) == len(set(words))
    for name, task in load_tasks().items():
        assert {resolve_task(word) for word in task.words} == {name}
        assert {resolve_task(f"{word}-with-past") for word in task.words} == {f"{name}-with-past"}
    assert resolve_task("summarization-with-past") == "text2text-generation-with-past"
    assert resolve_task("audio-ctc") == "automatic-speech-recognition"


def test_embeddings_are_built_and_are_no_feature_of_a_live_model(masked_lm: Path) -> None:
    assert "sentence-similarity" not in FeaturesManager.AVAILABLE_FEATURES
    with pytest.raises(UsageError, match="has no feature 'sentence-similarity'"):
        FeaturesManager.get_config("bert", "sentence-similarity")
    with pytest.raises(UsageError, match="followed by modules that transformers does not have") as refusal:
        FeaturesManager.get_model_from_feature("sentence-similarity", str(masked_lm))
    assert "--task sentence-similarity" in str(refusal.value.help)
