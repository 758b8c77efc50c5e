"""A model somebody holds: what its plan takes from it, and the twin that is recorded in its place."""

from __future__ import annotations

import pytest
import torch
import transformers

from exporter.errors import UsageError
from exporter.onnx import models
from exporter.onnx.live import plan_model, twin_model

SIZES = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50, "n_positions": 64}


@pytest.fixture(scope="module")
def decoder() -> transformers.GPT2LMHeadModel:
    return transformers.GPT2LMHeadModel(models.GPT2Config(**SIZES))


def test_a_plan_takes_the_dtype_of_the_model(decoder):
    described = models.GPT2OnnxConfig(decoder.config, task="causal-lm")
    assert plan_model(described, decoder).model.dtype == "float32"
    half = transformers.GPT2LMHeadModel(models.GPT2Config(**SIZES)).to(torch.float16)
    assert plan_model(described, half).model.dtype == "float16"
    assert plan_model(described, decoder, opset=14).recording.opset == 14


def test_a_model_elsewhere_is_refused():
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(models.GPT2Config(**SIZES))
    with pytest.raises(UsageError, match="the model is on meta"):
        plan_model(models.GPT2OnnxConfig(model.config, task="causal-lm"), model)


def test_a_model_made_for_another_task_is_refused():
    model = transformers.BertModel(models.BertConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=3))
    with pytest.raises(UsageError, match="was made with is_decoder=False, and text-generation needs True") as failure:
        plan_model(models.BertOnnxConfig(model.config, task="causal-lm"), model)
    assert failure.value.help == "from_pretrained(…, is_decoder=True)"


def test_a_twin_shares_the_weights_and_has_a_config_of_its_own(decoder):
    decoder.train()
    twin = twin_model(models.GPT2OnnxConfig.with_past(decoder.config, task="causal-lm"), decoder, "eager")
    assert not twin.training
    assert decoder.training
    assert [id(weight) for weight in twin.parameters()] == [id(weight) for weight in decoder.parameters()]
    assert twin.config is not decoder.config
    assert twin.config._attn_implementation == "eager"
    assert decoder.config._attn_implementation != "eager"
    without_past = twin_model(models.GPT2OnnxConfig(decoder.config, task="causal-lm"), decoder)
    assert (without_past.config.use_cache, decoder.config.use_cache) == (False, True)
    assert without_past.config._attn_implementation == decoder.config._attn_implementation
