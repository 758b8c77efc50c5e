"""Config classes for architectures that no spec describes, in the earlier system's words."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.onnx import (
    OnnxConfig,
    OnnxConfigWithPast,
    OnnxSeq2SeqConfigWithPast,
    export,
    validate_model_outputs,
)
from exporter.onnx.custom import make_spec
from exporter.onnx.live import plan_model

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "vocab_size": 99,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
}
TEXT = {0: "batch", 1: "sequence"}


class Text(OnnxConfig):
    @property
    def inputs(self) -> Any:
        return OrderedDict([("input_ids", TEXT), ("attention_mask", TEXT), ("token_type_ids", TEXT)])


class Picture(OnnxConfig):
    @property
    def inputs(self) -> Any:
        return OrderedDict([("pixel_values", {0: "batch", 1: "num_channels", 2: "height", 3: "width"})])


class Sound(OnnxConfig):
    @property
    def inputs(self) -> Any:
        return OrderedDict([("input_values", TEXT)])


class Decoder(OnnxConfigWithPast):
    @property
    def inputs(self) -> Any:
        declared: OrderedDict[str, Any] = OrderedDict([("input_ids", TEXT)])
        if self.use_past:
            self.fill_with_past_key_values_(declared, direction="inputs")
            declared["attention_mask"] = {0: "batch", 1: "past_sequence + sequence"}
        else:
            declared["attention_mask"] = TEXT
        return declared


class Both(OnnxSeq2SeqConfigWithPast):
    @property
    def inputs(self) -> Any:
        encoder, decoder = {0: "batch", 1: "encoder_sequence"}, {0: "batch", 1: "decoder_sequence"}
        return OrderedDict(
            input_ids=encoder, attention_mask=encoder, decoder_input_ids=decoder, decoder_attention_mask=decoder
        )


def ernie() -> Any:
    return transformers.ErnieForSequenceClassification(transformers.ErnieConfig(**SMALL, num_labels=5))


def regnet() -> Any:
    return transformers.RegNetForImageClassification(
        transformers.RegNetConfig(
            hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], embedding_size=8, groups_width=8, image_size=64
        )
    )


def vit_msn() -> Any:
    sizes = {name: SMALL[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    return transformers.ViTMSNModel(transformers.ViTMSNConfig(**sizes, image_size=32, patch_size=8))


def wavlm() -> Any:
    sizes = {name: SMALL[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
    convolutions = {"conv_dim": (16, 16), "conv_kernel": (8, 4), "conv_stride": (4, 4)}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    return transformers.WavLMModel(transformers.WavLMConfig(**sizes, **convolutions, **positions, num_hidden_layers=1))


def biogpt() -> Any:
    return transformers.BioGptForCausalLM(transformers.BioGptConfig(**SMALL))


def pegasus() -> Any:
    sides = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 1), ("attention_heads", 4), ("ffn_dim", 37))
    }
    return transformers.PegasusForConditionalGeneration(
        transformers.PegasusConfig(vocab_size=99, d_model=32, max_position_embeddings=64, **sides)
    )


@pytest.mark.parametrize(
    ("described", "task", "make", "inputs", "outputs"),
    [
        (Text, "sequence-classification", ernie, {"input_ids": ["batch", "sequence"]}, {"logits": ["batch", 5]}),
        (
            Picture,
            "image-classification",
            regnet,
            {"pixel_values": ["batch", 3, "height", "width"]},
            {"logits": ["batch", 2]},
        ),
        (Picture, "default", vit_msn, {"pixel_values": ["batch", 3, 32, 32]}, {"last_hidden_state": ["batch", 17, 32]}),
        (
            Sound,
            "default",
            wavlm,
            {"input_values": ["batch", "sequence"]},
            {"last_hidden_state": ["batch", "last_hidden_state_1", 32]},
        ),
        (
            Decoder,
            "causal-lm-with-past",
            biogpt,
            {"past_key_values.0.key": ["batch", 4, "past_sequence", 8]},
            {"logits": ["batch", "sequence", 99], "present.1.value": ["batch", 4, "past_sequence + sequence", 8]},
        ),
        (
            Both,
            "seq2seq-lm",
            pegasus,
            {"decoder_input_ids": ["batch", "decoder_sequence"]},
            {"logits": ["batch", "decoder_sequence", 99]},
        ),
    ],
    ids=["text", "picture", "picture of one size", "sound", "decoder with past", "encoder-decoder"],
)
def test_a_class_is_enough(  # noqa: PLR0913
    described: Any,
    task: str,
    make: Any,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
):
    torch.manual_seed(0)
    model = make()
    # A model that gets a spec proves nothing here; put another one in its place.
    assert model.config.model_type.replace("-", "_") not in {path.stem.replace("-", "_") for path in list_specs()}
    config = described(model.config, task=task)
    assert config.is_custom
    path = tmp_path / "model.onnx"
    with caplog.at_level(logging.INFO, "exporter.onnx"):
        names = export(None, model, config, config.default_onnx_opset, path)
        validate_model_outputs(config, None, model, path, names[1], config.atol_for_validation)
    assert names == (list(config.inputs), list(config.outputs))
    session = onnxruntime.InferenceSession(str(path))
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {**shapes, **inputs, **outputs}
    assert any(line.endswith("all values close (atol: 1e-05)") for line in caplog.messages)


def test_it_holds_at_sizes_nobody_measured(tmp_path: Path):
    """Beside the comparison that the package makes itself: a user's call of both, with a longer text."""
    torch.manual_seed(0)
    model = ernie().eval()
    export(None, model, Text(model.config, task="sequence-classification"), 14, tmp_path / "model.onnx")
    ids = torch.arange(3 * 41).reshape(3, 41) % 99
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    (logits,) = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).run(
        None, {name: value.numpy() for name, value in given.items()}
    )
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(**given).logits.numpy(), atol=1e-5)


class Overridden(Text):
    """What the earlier system's classes overrode: the outputs, the bound, the opset and the inputs."""

    default_onnx_opset = 13
    atol_for_validation = 1e-4

    @property
    def outputs(self) -> Any:
        return OrderedDict([("pooler_output", {0: "rows"}), ("last_hidden_state", {0: "rows", 1: "sequence"})])

    def generate_dummy_inputs(self, *args: Any, **kwargs: Any) -> Any:
        made = super().generate_dummy_inputs(*args, **kwargs)
        return {name: value[:, :5] for name, value in made.items()}


def test_what_a_class_overrides_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    model = transformers.ErnieModel(transformers.ErnieConfig(**SMALL))
    config = Overridden(model.config)
    plan = plan_model(config, model)
    assert [tensor.name for tensor in plan.graphs[0].outputs] == ["pooler_output", "last_hidden_state"]
    assert plan.trace.sizes == {"batch": 2, "sequence": 5}
    assert {point.sizes["sequence"] for point in plan.sizes.points[1:]} == {4, 6, 10}
    assert plan.bound.atol == 1e-4
    export(None, model, config, config.default_onnx_opset, tmp_path / "model.onnx")
    validate_model_outputs(config, None, model, tmp_path / "model.onnx", list(config.outputs), None)
    # The batch of the outputs is that of the inputs, whatever a class calls it.
    assert plan.graphs[0].outputs[0].shape == ("batch", 32)


def test_a_spec_is_made_from_the_properties():
    spec = make_spec(Overridden(transformers.ErnieConfig(**SMALL), task="masked-lm"))
    (task,) = spec.tasks.values()
    assert (spec.architecture, task.name, task.feature) == ("ernie", "fill-mask", "masked-lm")
    assert task.tracer.name == "torchscript"
    assert spec.path.endswith("Overridden")


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ({"input_id": TEXT}, {"logits": {0: "batch"}}, "nothing says what the input 'input_id' is like"),
        ({"pixel_values": {0: "batch"}}, {"logits": {0: "batch"}}, "takes no 'pixel_values'"),
        ({"input_ids": TEXT}, {"scores": {0: "batch"}}, "the model returns no 'scores'"),
        ({"input_ids": {0: "n", 1: "n"}}, {"logits": {0: "n"}}, None),
    ],
)
def test_what_does_not_fit_is_said(inputs: Any, outputs: Any, reason: str | None):
    kind = type(
        "Kind", (OnnxConfig,), {"inputs": property(lambda self: inputs), "outputs": property(lambda self: outputs)}
    )
    model = ernie()
    config = kind(model.config, task="sequence-classification")
    if reason is None:
        # One name for two axes: they are as long as one another, and that is what is exported.
        assert plan_model(config, model).graphs[0].inputs[0].shape == ("n", "n")
        return
    with pytest.raises(UsageError) as failure:
        plan_model(config, model)
    assert reason in f"{failure.value.message} {failure.value.help}"


def test_a_class_without_inputs_is_none():
    with pytest.raises(UsageError, match="there is no spec for the architecture 'ernie'"):
        OnnxConfig(transformers.ErnieConfig(**SMALL))
