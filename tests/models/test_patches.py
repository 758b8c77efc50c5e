"""Patches record what Python does with sizes, and leave no trace behind."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from exporter.models.patches import PATCHES, applied_patches
from exporter.models.recorded_python import record_einsum

_CODE = """
import numpy as np
import torch
from torch import nn


class Shortest(nn.Module):
    def forward(self, x):
        return x[: min(x.shape[0], 5)] * max(x.shape[0], 3)


class Counted(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1, 2).sum(-1)


class Blocks(nn.Module):
    def forward(self, x):
        places = np.stack([np.zeros((x.shape[0] - 2, 1), dtype=np.int64) for _ in range(2)], axis=0)
        return x.reshape(np.prod(x.shape)), torch.tensor(places, dtype=torch.long)


class Windows(nn.Module):
    def forward(self, x):
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
        step = x.stride()
        return x.as_strided((x.shape[0] - 1, 2, x.shape[1]), (step[0], step[0], step[1]))


class Product(nn.Module):
    def forward(self, x):
        return torch.einsum("ik,jk->ji", x, x)
"""


@pytest.fixture(name="written")
def _written(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return a module with models in it, importable like one of a library."""
    module = types.ModuleType("written_models")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(_CODE, module.__name__, "exec"), vars(module))
    return module


def _record(model: nn.Module, patches: tuple[str, ...], rows: int) -> Callable[..., Any]:
    trace: Any = torch.jit.trace
    with applied_patches(patches, model):
        traced: Callable[..., Any] = trace(model, (torch.rand(rows, 4),), check_trace=False)
    return traced


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("Shortest", "recorded-sizes"),
        ("Counted", "recorded-sizes"),
        ("Blocks", "recorded-sizes"),
        ("Windows", "gathered-strides"),
        ("Product", "multiplied-einsum"),
    ],
)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_recorded_at_one_size_is_right_at_another(written: types.ModuleType, name: str, patch: str) -> None:
    model = getattr(written, name)()
    traced = _record(model, (patch,), rows=4)
    for rows in (3, 4, 9):
        x = torch.rand(rows, 4)
        torch.testing.assert_close(traced(x), _tensors(model(x)))


def _tensors(value: Any) -> Any:
    return tuple(map(torch.as_tensor, value)) if isinstance(value, tuple) else value


def test_every_patch_is_undone(written: types.ModuleType) -> None:
    model = nn.Sequential(written.Windows(), written.Product())

    def names() -> list[dict[str, Any]]:
        return [dict(vars(written)), dict(vars(torch.Tensor)), {"einsum": torch.einsum, "tensor": torch.tensor}]

    before = names()
    with applied_patches(PATCHES, model):
        assert torch.einsum is record_einsum
        assert names() != before
    assert names() == before


class _Columns(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 2, x.shape[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_axis_may_be_empty() -> None:
    export: Any = torch.onnx.export
    buffer, model = io.BytesIO(), _Columns().eval()
    with applied_patches(("empty-axes",), model):
        export(
            model,
            (torch.rand(3, 4),),
            buffer,
            dynamo=False,
            opset_version=18,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "rows"}, "y": {2: "rows"}},
        )
    session = onnxruntime.InferenceSession(buffer.getvalue())
    for rows in (3, 5, 0):
        x = np.random.default_rng(rows).random((rows, 4), dtype=np.float32)
        (y,) = session.run(None, {"x": x})
        np.testing.assert_array_equal(y, x.reshape(2, 2, rows))


class _Thinned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = nn.functional.interpolate(x[None, None], size=(x.shape[0] // 14, 3))
        return kept[0, 0]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_nearest_value_is_the_one_pytorch_takes() -> None:
    export: Any = torch.onnx.export
    buffer, model = io.BytesIO(), _Thinned().eval()
    with applied_patches(("indexed-nearest",), model):
        export(
            model,
            (torch.rand(28, 7),),
            buffer,
            dynamo=False,
            opset_version=18,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "rows", 1: "columns"}, "y": {0: "kept"}},
        )
    session = onnxruntime.InferenceSession(buffer.getvalue())
    for rows in range(28, 400, 14):
        x = torch.rand(rows, rows // 3)
        (y,) = session.run(None, {"x": x.numpy()})
        np.testing.assert_array_equal(y, model(x).numpy())
