from __future__ import annotations

import pytest
from torch import nn
from transformers import BertConfig

from exporter.errors import UsageError
from exporter.models.architectures import auto_classes_of, default_config, find_model_class, required_arguments


def test_a_config_is_made_without_values():
    assert default_config("bert").hidden_size == BertConfig().hidden_size
    with pytest.raises(UsageError, match="no architecture 'brt'"):
        default_config("brt")


def test_auto_classes_are_those_that_know_the_config():
    names = auto_classes_of(BertConfig())
    assert "AutoModelForMaskedLM" in names
    assert "AutoModelForImageClassification" not in names


def test_a_class_that_is_not_there_is_none():
    config = BertConfig()
    assert find_model_class("AutoModel", None, config, "bert").__name__ == "BertModel"
    assert find_model_class("AutoModelForCTC", None, config, "bert") is None
    assert find_model_class(None, "NoSuchModel", config, "bert") is None


def test_required_arguments_are_those_without_a_default():
    class Model(nn.Module):
        def forward(self, pixels, mask=None, *, boxes, **kwargs):
            return pixels

    assert list(required_arguments(Model)) == ["pixels", "boxes"]
