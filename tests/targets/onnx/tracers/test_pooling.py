"""Adaptive pooling as the TorchScript tracer writes it, at sizes that do and do not divide."""

from __future__ import annotations

import io
import logging

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from exporter.targets.onnx.tracers.pooling import adaptive_pooling

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def exported(module: nn.Module, image: torch.Tensor, opset: int, *, dynamic: bool) -> onnxruntime.InferenceSession:
    axes = {"image": {0: "batch", 2: "height", 3: "width"}} if dynamic else {"image": {0: "batch"}}
    buffer = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with adaptive_pooling(opset):
        torch.onnx.export(
            module.eval(),
            (image,),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=["image"],
            dynamic_axes=axes,
        )
    return onnxruntime.InferenceSession(buffer.getvalue())


@pytest.mark.parametrize("opset", [11, 18, 20])
@pytest.mark.parametrize("windows", [1, 2, 3, 6, (2, 5)])
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_any_number_of_windows_on_any_image(opset, windows, dynamic):
    pooling = nn.AdaptiveAvgPool2d(windows)
    traced = torch.randn(2, 3, 4, 7)
    session = exported(pooling, traced, opset, dynamic=dynamic)
    for sizes in [(2, 3, 4, 7), (1, 3, 4, 7), *([(3, 3, 2, 12), (1, 3, 6, 5)] if dynamic else [])]:
        image = torch.randn(sizes)
        (pooled,) = session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(pooled, pooling(image).numpy(), atol=1e-6)


def test_the_tracer_is_as_before_afterwards():
    with adaptive_pooling(18):
        pass
    traced = nn.AdaptiveAvgPool2d(3)
    with pytest.raises(torch.onnx.errors.SymbolicValueError, match="factor"):
        torch.onnx.export(traced, (torch.randn(1, 3, 4, 7),), io.BytesIO(), dynamo=False, opset_version=18)
