"""Sound that is padded to the length of the longest recording: the graph is told what is padding where the model is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

import exporter

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "vocab_size": 29,
    "conv_dim": [8, 9, 10],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "pad_token_id": 0,
}
# The last is shorter than what one frame sees.
LENGTHS = (1500, 640, 90, 20)


@pytest.mark.parametrize("told_by", ["config", "processor"])
def test_a_padded_batch_is_read_as_the_model_reads_it(tmp_path: Path, told_by: str):
    torch.manual_seed(0)
    if told_by == "config":
        config = transformers.Wav2Vec2Config(**SMALL, feat_extract_norm="layer", do_stable_layer_norm=True)
        model = transformers.Wav2Vec2ForCTC(config).eval()
    else:
        model = transformers.HubertForCTC(transformers.HubertConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path / "model")
    if told_by == "processor":
        settings = {"feature_extractor": {"return_attention_mask": True}}
        (tmp_path / "model" / "processor_config.json").write_text(json.dumps(settings))
    exporter.build(model=tmp_path / "model", output=tmp_path / "out")

    sound = torch.randn(len(LENGTHS), max(LENGTHS))
    mask = torch.tensor([[index < length for index in range(max(LENGTHS))] for length in LENGTHS]).long()
    sound *= mask
    with torch.no_grad():
        expected, unmasked = (model(sound, attention_mask=given).logits.numpy() for given in (mask, None))
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    (logits,) = session.run(None, {"input_values": sound.numpy(), "attention_mask": mask.numpy()})
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    assert np.abs(unmasked - expected).max() > 1e-3
