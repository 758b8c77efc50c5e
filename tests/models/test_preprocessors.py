"""The tokenizer or processor of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import transformers

from exporter.models.preprocessors import load_preprocessor


def test_it_is_what_the_checkpoint_has(tmp_path: Path):
    assert load_preprocessor(str(tmp_path)) is None
    transformers.WhisperFeatureExtractor(feature_size=20).save_pretrained(tmp_path)
    loaded = load_preprocessor(str(tmp_path))
    assert isinstance(loaded, transformers.WhisperFeatureExtractor)
    assert loaded.feature_size == 20
