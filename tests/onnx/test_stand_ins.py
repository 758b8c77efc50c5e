"""Inputs that are made by their names, or taken after somebody's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from exporter.errors import UsageError
from exporter.onnx import stand_ins
from exporter.onnx.stand_ins import cache_shape, flatten_stand_ins, make_stand_ins, observed_fill
from exporter.planning.plan import FillPlan

CONFIG = transformers.ErnieConfig(vocab_size=99, type_vocab_size=3)


def test_known_names_are_made_as_models_want_them():
    axes = {0: "batch", 1: "sequence"}
    made = make_stand_ins({"input_ids": axes, "token_type_ids": axes, "attention_mask": axes}, CONFIG)
    assert list(made) == ["input_ids", "token_type_ids", "attention_mask"]
    assert {array.shape for array in made.values()} == {(2, 8)}
    assert (made["input_ids"].max(), made["token_type_ids"].max()) == (98, 2)
    assert made["attention_mask"][0].all()
    assert not made["attention_mask"].all()


def test_lengths_are_those_asked_for_and_a_choice_is_an_axis():
    axes = {0: "batch", 1: "choices", 2: "sequence"}
    assert make_stand_ins({"input_ids": axes}, CONFIG, sizes={"sequence": 3})["input_ids"].shape == (2, 4, 3)


def test_a_mask_over_a_sound_is_as_long_as_the_sound():
    axes = {0: "batch", 1: "sequence"}
    made = make_stand_ins({"attention_mask": axes, "input_values": axes}, transformers.WavLMConfig())
    assert made["attention_mask"].shape == made["input_values"].shape == (2, 4000)


def test_a_preprocessor_says_how_large_a_picture_is():
    def preprocessor(images: list[np.ndarray], return_tensors: str) -> dict[str, np.ndarray]:
        assert return_tensors == "np"
        return {"pixel_values": np.zeros((len(images), 3, 24, 16), "float32")}

    made = make_stand_ins({"pixel_values": {0: "batch"}}, transformers.ViTMSNConfig(image_size=32), preprocessor)
    assert made["pixel_values"].shape == (2, 3, 24, 16)
    made = make_stand_ins({"pixel_values": {0: "batch"}}, transformers.ViTMSNConfig(image_size=32))
    assert made["pixel_values"].shape == (2, 3, 32, 32)


def test_a_sound_is_as_long_as_its_preprocessor_makes_it():
    preprocessor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
    made = make_stand_ins({"input_features": {0: "batch"}}, transformers.WavLMConfig(), preprocessor)
    assert made["input_features"].shape == (2, 20, 200)


def test_an_unknown_input_is_asked_for():
    with pytest.raises(UsageError, match="nothing says what the input 'langs' is like"):
        make_stand_ins({"langs": {0: "batch"}}, CONFIG)


@pytest.mark.parametrize(
    ("name", "array", "fill"),
    [
        ("pixel_mask", np.ones((2, 3), "int64"), FillPlan("padding", ())),
        ("langs", np.zeros((2, 3), "int64"), FillPlan("zeros", ())),
        ("places", np.array([[2, 3, 4], [2, 3, 4]]), FillPlan("arange", (2,))),
        ("kinds", np.array([[0, 5, 1]]), FillPlan("randint", (0, 6))),
        ("which", np.array([[True, False]]), FillPlan("bernoulli", (0.5,))),
        ("values", np.array([[-1.5, 2.0]], "float32"), FillPlan("randn", ())),
        ("parts", np.array([[0.5, 0.2]], "float32"), FillPlan("rand", ())),
    ],
)
def test_a_fill_is_like_what_somebody_made(name: str, array: np.ndarray, fill: FillPlan):
    assert observed_fill(name, array) == fill


def test_a_nested_cache_is_flattened():
    pair, four = (torch.zeros(1), torch.ones(1)), tuple(torch.full((1,), float(index)) for index in range(4))
    flat = flatten_stand_ins({"input_ids": [[1, 2]], "past_key_values": [pair, four]})
    assert flat["input_ids"].shape == (1, 2)
    assert list(flat)[1:] == [
        "past_key_values.0.key",
        "past_key_values.0.value",
        *(f"past_key_values.1.{side}.{part}" for side in ("decoder", "encoder") for part in ("key", "value")),
    ]
    assert flat["past_key_values.1.encoder.value"] == [3]


def test_a_cache_has_its_length_on_the_open_axis():
    assert cache_shape("past_key_values.0.key", {0: "batch", 2: "past_sequence + sequence"}, (4, 8), {}) == [2, 4, 5, 8]
    assert cache_shape("past_key_values.0.value", {0: "batch", 1: "past_sequence"}, (4, 8), {"batch": 3}) == [
        3,
        5,
        4,
        8,
    ]


def test_a_default_length_tells_texts_apart():
    lengths = [stand_ins.default_length(name) for name in ("sequence", "decoder_sequence", "past_decoder_sequence")]
    assert lengths == [8, 6, 5]
    assert stand_ins.default_length("past_encoder_sequence") == stand_ins.default_length("encoder_sequence")
