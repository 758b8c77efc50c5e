"""A class for every architecture with a spec."""

from __future__ import annotations

import pytest

from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.onnx import FeaturesManager, models


def test_every_architecture_has_its_classes():
    for path in list_specs():
        described = models.describe_architecture(path.stem)
        assert getattr(models, described.__name__) is described
        plain = getattr(models, described.__name__.replace("OnnxConfig", "Config"))
        assert plain.__module__.startswith("transformers.")
        features = FeaturesManager.get_supported_features_for_model_type(path.stem.replace("_", "-"))
        # A live model has none of the modules that make embeddings.
        assert set(features) == {task.feature for task in load_spec(path).tasks.values() if not task.pooled}
        assert set(features) <= set(FeaturesManager.AVAILABLE_FEATURES)
    with pytest.raises(ImportError):
        from exporter.onnx import NonsenseOnnxConfig  # noqa: F401
    with pytest.raises(ImportError):
        from exporter.onnx.models import Bert  # noqa: F401
