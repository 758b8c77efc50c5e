"""What PyTorch gives for a checkpoint: the numbers clients are held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from clients.checkpoints import IMAGE_SIZE, RATE, SECONDS
from clients.environments import Array
from exporter.models.configs import quiet_libraries

NEW_TOKENS = 16


def load_model(auto: str, checkpoint: Path) -> Any:
    with quiet_libraries():
        return getattr(transformers, auto).from_pretrained(checkpoint, local_files_only=True).eval()


def tokenize(checkpoint: Path, texts: list[str], padding_side: str = "right") -> dict[str, Array]:
    with quiet_libraries():
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint, local_files_only=True, padding_side=padding_side
        )
        return dict(tokenizer(texts, padding=True, return_tensors="np"))


def call(auto: str, checkpoint: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return every tensor a model of a checkpoint returns for the inputs."""
    model = load_model(auto, checkpoint)
    with torch.no_grad(), quiet_libraries():
        outputs = model(**_tensors(inputs))
    return {name: value.numpy() for name, value in outputs.items() if isinstance(value, torch.Tensor)}


def embed(checkpoint: Path, texts: list[str]) -> Array:
    """Return the mean of the hidden states of each text's tokens, with length 1."""
    inputs = tokenize(checkpoint, texts)
    mask = inputs["attention_mask"][..., None].astype(np.float32)
    means = (call("AutoModel", checkpoint, inputs)["last_hidden_state"] * mask).sum(1) / mask.sum(1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def generate(auto: str, checkpoint: Path, inputs: Mapping[str, Array]) -> Array:
    """Return the tokens of greedy decoding as the checkpoint's own settings have it."""
    model = load_model(auto, checkpoint)
    with torch.no_grad(), quiet_libraries():
        tokens = model.generate(**_tensors(inputs), do_sample=False, num_beams=1, max_new_tokens=NEW_TOKENS)
    assert len(np.unique(tokens)) > 4, "a text that repeats a few tokens shows nothing"
    return np.asarray(tokens)


def recording() -> Array:
    """Return a second of a tone that rises, with noise."""
    time = np.arange(SECONDS * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * (200 + 900 * time) * time)
    return (tone + 0.05 * np.random.default_rng(5).standard_normal(len(time))).astype(np.float32)


def picture() -> Array:
    """Return an image as bytes of red, green and blue, with shapes in it."""
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    channels = [rows * 7 % 256, columns * 5 % 256, (rows - 12) ** 2 + (columns - 20) ** 2]
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def pixels_of(image: Array) -> dict[str, Array]:
    """Return an image as the checkpoint's processor has it for the model: from -1 to 1, its channels first."""
    return {"pixel_values": (image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]}


def features_of(checkpoint: Path, sound: Array) -> dict[str, Array]:
    """Return the spectrogram that the processor of a checkpoint makes of a recording."""
    with quiet_libraries():
        extractor = transformers.AutoFeatureExtractor.from_pretrained(checkpoint, local_files_only=True)
        features = extractor(sound, sampling_rate=RATE, return_tensors="np")
    return {name: np.asarray(value) for name, value in features.items()}


def _tensors(inputs: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}
