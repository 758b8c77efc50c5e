"""Arrays as tensors and back, over the same memory, bfloat16 included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from exporter.planning.dtypes import Array


def to_torch(array: Array) -> torch.Tensor:
    """Return a tensor over an array's memory; bfloat16 by its bits, since torch cannot read numpy's extension type."""
    array = np.ascontiguousarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: torch.Tensor) -> Array:
    """Return an array of a tensor's values in its own dtype."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    array: Array = tensor.numpy()
    return array
