"""Arrays and tensors over the same memory."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from exporter.models.arrays import to_numpy, to_torch

DTYPES = ["float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool", "bfloat16"]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (1,)])
def test_values_and_dtype_come_back(name: str, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    tensor = to_torch(array)
    assert (str(tensor.dtype), tuple(tensor.shape)) == (f"torch.{name}", shape)
    back = to_numpy(tensor)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.astype(np.float64), array.astype(np.float64))


def test_no_values_are_copied() -> None:
    array = np.zeros(3, np.float32)
    to_torch(array)[1] = 5
    assert array.tolist() == [0, 5, 0]


def test_views_and_gradients_are_taken() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert to_torch(array.T).tolist() == array.T.tolist()
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3).T
    assert to_numpy(tensor).tolist() == tensor.tolist()
