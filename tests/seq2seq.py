"""Generation with encoder-decoders, as several tests share it: a batch of inputs, and the model's greedy decoding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin

from exporter.models.configs import quiet_libraries

NEW_TOKENS = 20
START = 1
PADDING = 98
# Lengths of the texts of a batch: none, two and five tokens of padding.
TEXTS = (7, 5, 2)

Array = np.ndarray[Any, Any]


def make_inputs(architecture: str, vocab: int, session: onnxruntime.InferenceSession) -> dict[str, Array]:
    """Return inputs of an encoder: texts padded on the right and their mask, or recordings, which have one length."""
    rng = np.random.default_rng(len(architecture))
    first = session.get_inputs()[0]
    if first.name != "input_ids":
        return {first.name: rng.standard_normal([len(TEXTS), *first.shape[1:]]).astype(np.float32)}
    mask = np.array([[int(at < size) for at in range(max(TEXTS))] for size in TEXTS])
    ids = rng.integers(0, min(PADDING, vocab - 1), mask.shape)
    return {"input_ids": np.where(mask == 1, ids, 0), "attention_mask": mask}


def generate_plainly(folder: Path, inputs: Mapping[str, Array]) -> list[list[int]]:
    """Return what the model's own greedy decoding gives, start token and all."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    known = transformers.AutoModelForSeq2SeqLM if "input_ids" in inputs else transformers.AutoModelForSpeechSeq2Seq
    with quiet_libraries():
        model: Any = known.from_pretrained(folder, config=config, local_files_only=True).eval()
        for setting in ("forced_eos_token_id", "forced_bos_token_id", "encoder_no_repeat_ngram_size"):
            setattr(model.config, setting, None)
        # Checkpoints force tokens, forbid some, and end a text where the model says so; none of that is in the graphs.
        model.generation_config = transformers.GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=PADDING,
            decoder_start_token_id=START,
            bos_token_id=None,
            eos_token_id=None,
        )
        # A cache that grows with the layers that write to it: `generate` would make one with as many layers as the
        # encoder has, where a config counts the decoder's apart.
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        # The base class's: speech models override `generate` to go over a recording window by window.
        tokens = GenerationMixin.generate(model, **tensors, past_key_values=cache)
    return [list(map(int, row)) for row in tokens]
