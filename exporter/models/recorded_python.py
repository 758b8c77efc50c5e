"""What Python does with sizes, redone as torch operations that a tracer records.

A tracer sees operators on tensors. While it looks on, the sizes of tensors are tensors too, but ``min``, ``len``, numpy
and strides turn them into plain numbers, and a graph recorded that way is right at the traced sizes only. Outside a
trace every function here does what the one it stands in for does. The patches of `patches.py` put them in place.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch

# A PyTorch without TorchScript records nothing by it.
_is_tracing: Callable[[], bool] = getattr(getattr(torch, "jit", None), "is_tracing", lambda: False)
# What the functions here stand in for, before any patch; torch declares no types for them.
_tensor: Any = torch.tensor
_stride: Any = torch.Tensor.stride
_as_strided: Any = torch.Tensor.as_strided
_einsum: Any = torch.einsum
_view: Any = torch.Tensor.view


def record_function(name: str) -> Callable[..., Any]:
    """Return the recordable form of ``min``, ``max``, ``len`` or ``torch.tensor``."""
    functions: dict[str, Callable[..., Any]] = {"min": _min, "max": _max, "len": _len, "tensor": _make_tensor}
    return functions[name]


def _has_sizes(values: Any) -> bool:
    return _is_tracing() and any(isinstance(value, torch.Tensor) for value in values)


def _min(*args: Any, **kwargs: Any) -> Any:
    if len(args) > 1 and not kwargs and _has_sizes(args):
        return reduce(torch.minimum, map(torch.as_tensor, args))
    return builtins.min(*args, **kwargs)


def _max(*args: Any, **kwargs: Any) -> Any:
    if len(args) > 1 and not kwargs and _has_sizes(args):
        return reduce(torch.maximum, map(torch.as_tensor, args))
    return builtins.max(*args, **kwargs)


def _len(value: Any) -> Any:
    return value.shape[0] if isinstance(value, torch.Tensor) and _is_tracing() else len(value)


def _make_tensor(data: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    if isinstance(data, torch.Tensor) and _is_tracing():
        return data.to(kwargs.get("dtype") or data.dtype)
    made: torch.Tensor = _tensor(data, *args, **kwargs)
    return made


class RecordedNumpy:
    """numpy, with the functions that models feed sizes to."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def zeros(self, shape: Any, dtype: Any = float) -> Any:
        """Return zeros; a tensor where the shape is read off one."""
        if isinstance(shape, tuple | list) and _has_sizes(shape):
            made = torch.int64 if np.issubdtype(dtype, np.integer) else torch.get_default_dtype()
            sizes: list[Any] = [size if isinstance(size, torch.Tensor) else int(size) for size in shape]
            return torch.zeros(sizes, dtype=made)
        return np.zeros(shape, dtype=dtype)

    def stack(self, arrays: Any, axis: int = 0) -> Any:
        """Stack arrays, or tensors made by `zeros`."""
        arrays = list(arrays)
        return torch.stack(arrays, axis) if _has_sizes(arrays) else np.stack(arrays, axis=axis)

    def prod(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the product of sizes."""
        if isinstance(values, tuple | list) and not args and not kwargs and _has_sizes(values):
            return reduce(lambda product, size: product * size, values)
        return np.prod(values, *args, **kwargs)


def _memory_order(tensor: torch.Tensor) -> list[int]:
    """Return the axes of a tensor from the outermost in memory to the innermost.

    Raises:
        ValueError: the tensor is not dense, so that its strides do not follow from its sizes.
    """
    strides = _stride(tensor)
    order = sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
    if not tensor.permute(order).is_contiguous():
        raise ValueError(f"strides {strides} of a tensor of shape {list(tensor.shape)} do not follow from its sizes")
    return order


def record_stride(tensor: torch.Tensor, dim: int | None = None) -> Any:
    """Return the strides of a dense tensor as products of its sizes."""
    if not _is_tracing():
        return _stride(tensor) if dim is None else _stride(tensor, dim)
    strides: list[Any] = [1] * tensor.dim()
    step: Any = 1
    for axis in reversed(_memory_order(tensor)):
        strides[axis] = step
        step = tensor.shape[axis] * step
    return tuple(strides) if dim is None else strides[dim]


def record_as_strided(
    tensor: torch.Tensor, size: Sequence[Any], stride: Sequence[Any], storage_offset: int | None = None
) -> torch.Tensor:
    """Return the elements a strided view of a dense tensor shows, gathered by their place in memory."""
    if not _is_tracing():
        view: torch.Tensor = _as_strided(tensor, size, stride, storage_offset)
        return view
    flat = tensor.permute(_memory_order(tensor)).reshape(-1)
    places: Any = storage_offset or 0
    for axis, (length, step) in enumerate(zip(size, stride, strict=True)):
        along = [-1 if other == axis else 1 for other in range(len(size))]
        places = places + (torch.arange(length) * step).reshape(along)
    return flat[places]


def record_einsum(equation: str, *operands: Any) -> torch.Tensor:
    """Return a product of two tensors in Einstein notation, computed by ``matmul``."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    sides, arrow, result = equation.replace(" ", "").partition("->")
    left, comma, right = sides.partition(",")
    if not _is_tracing() or len(operands) != 2 or not arrow or not comma or "." in equation:
        contracted: torch.Tensor = _einsum(equation, *operands)
        return contracted
    first, second = operands
    sizes = {**dict(zip(left, first.shape, strict=True)), **dict(zip(right, second.shape, strict=True))}
    batch = [label for label in left if label in right and label in result]
    summed = [label for label in left if label in right and label not in result]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]

    def matrix(tensor: torch.Tensor, labels: str, *sides: list[str]) -> torch.Tensor:
        ordered = tensor.permute([labels.index(label) for part in (batch, *sides) for label in part])
        lengths = [reduce(lambda product, label: product * sizes[label], part, 1) for part in sides]
        return ordered.reshape([*(sizes[label] for label in batch), *lengths])

    product = torch.matmul(matrix(first, left, rows, summed), matrix(second, right, summed, columns))
    made = [*batch, *rows, *columns]
    return product.reshape([sizes[label] for label in made]).permute([made.index(label) for label in result])


def record_view(tensor: torch.Tensor, *shape: Any) -> torch.Tensor:
    """Return a view; where it splits the last axis into parts and leaves their number open, with that number."""
    lengths = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    splits = len(lengths) == tensor.dim() + 1 and isinstance(lengths[-2], int) and lengths[-2] == -1
    if _is_tracing() and splits and isinstance(lengths[-1], int):
        shape = (*lengths[:-2], int(tensor.shape[-1]) // lengths[-1], lengths[-1])
    view: torch.Tensor = _view(tensor, *shape)
    return view


def record_interpolate(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return ``interpolate`` that resizes to the nearest value by taking those at ``floor(index * in / out)``."""

    def interpolate(
        tensor: torch.Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **options: Any
    ) -> torch.Tensor:
        if mode != "nearest" or size is None:
            return original(tensor, size, scale_factor, mode, **options)
        lengths = list(size) if isinstance(size, tuple | list) else [size] * (tensor.dim() - 2)
        for axis, length in enumerate(lengths, start=2):
            # In single precision, as PyTorch rounds.
            steps = torch.arange(length, dtype=torch.float32, device=tensor.device)
            index = (steps * (tensor.shape[axis] / length)).floor().to(torch.int64)
            tensor = tensor.index_select(axis, index)
        return tensor

    return interpolate
