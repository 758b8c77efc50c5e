"""`OnnxConfig` objects: inputs, outputs, defaults and dummy inputs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import transformers

from exporter.errors import UsageError
from exporter.onnx import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast, models


def test_configs_of_the_three_kinds():
    plain = models.BertOnnxConfig(models.BertConfig())
    assert type(plain).__mro__[1] is OnnxConfig
    assert plain.inputs == OrderedDict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), {0: "batch", 1: "sequence"}
    )
    assert (plain.default_onnx_opset, plain.atol_for_validation, plain.is_torch_support_available) == (11, 1e-5, True)
    choice = models.BertOnnxConfig.from_model_config(models.BertConfig(), task="multiple-choice")
    assert choice.inputs["input_ids"] == {0: "batch", 1: "choices", 2: "sequence"}

    config = models.GPT2Config(n_layer=1)
    decoder = models.GPT2OnnxConfig.with_past(config, task="causal-lm")
    assert isinstance(decoder, OnnxConfigWithPast)
    assert not isinstance(decoder, OnnxSeq2SeqConfigWithPast)
    assert decoder.values_override == {"use_cache": True}
    assert list(decoder.outputs) == ["logits", "present.0.key", "present.0.value"]
    assert models.GPT2OnnxConfig(config, task="text-generation-with-past").outputs == decoder.outputs
    assert list(models.GPT2OnnxConfig(config, task="causal-lm").outputs) == ["logits"]
    cache: dict[str, Any] = {}
    decoder.fill_with_past_key_values_(cache, direction="inputs")
    assert list(cache) == ["past_key_values.0.key", "past_key_values.0.value"]
    assert all(axes == {0: "batch", 2: "past_sequence"} for axes in cache.values())

    assert issubclass(models.T5OnnxConfig, OnnxSeq2SeqConfigWithPast)
    with pytest.raises(UsageError, match="has no task"):
        models.GPT2OnnxConfig(config, task="masked-lm")
    with pytest.raises(UsageError, match="neither 'inputs' nor 'outputs'"):
        decoder.fill_with_past_key_values_(cache, direction="present")
    with pytest.raises(UsageError, match="there is no spec for the architecture"):
        OnnxConfig(transformers.CTRLConfig())


def test_dummy_inputs_are_what_the_model_and_the_graph_take(decoder_sizes):
    config = models.GPT2Config(**{name: size for name, size in decoder_sizes.items() if not name.endswith("id")})
    described = models.GPT2OnnxConfig.with_past(config, task="causal-lm")
    arguments = described.generate_dummy_inputs(None, batch_size=3, seq_length=9, framework="pt")
    model = transformers.GPT2LMHeadModel(config).eval()
    assert model(**arguments).logits.shape == (3, 9, 50)
    arguments = described.generate_dummy_inputs(None, batch_size=3, seq_length=9)
    fed = described.generate_dummy_inputs_onnxruntime(arguments)
    arrays = described.generate_dummy_inputs(None, batch_size=3, seq_length=9, framework="np")
    assert list(fed) == list(arrays) == list(described.inputs)
    for name, array in arrays.items():
        np.testing.assert_array_equal(fed[name], array)
    with pytest.raises(UsageError, match="cannot be made for 'tf'"):
        described.generate_dummy_inputs(None, framework="tf")


def test_dummies_of_a_subclass_are_told_to_be_unused():
    kind = type("Kind", (OnnxConfig,), {"generate_dummy_inputs": lambda self, *_: {}})
    with pytest.warns(UserWarning, match="generate_dummy_inputs of Kind is not called"):
        kind(models.BertConfig()).plan()
