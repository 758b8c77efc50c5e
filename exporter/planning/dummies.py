"""Fill a graph's input tensors at given sizes, reproducibly.

Dummies exercise what real inputs do: ids reach both ends of their range, masks have padded rows, and the rows of a
batch differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from exporter.planning.dtypes import NUMPY_DTYPES, Array
from exporter.planning.plan import FillPlan, GraphPlan, Point

# Each row of a mask has at least this part of its length more padding than the row before: a frame of sound is hundreds
# of samples, and padding of a few would pass unseen.
_PADDED_PART = 16


def make_dummies(graph: GraphPlan, point: Point, seed: int) -> dict[str, Array]:
    """Return one array per input of ``graph``, in graph order, with the sizes of ``point``.

    The values depend on the seed, the point's name and the order of the inputs, and on nothing else.
    """
    rng = np.random.default_rng([seed, *point.name.encode()])
    return {
        tensor.name: fill_array(tensor.fill, tensor.sizes_at(point.sizes), NUMPY_DTYPES[tensor.dtype], rng, point)
        for tensor in graph.inputs
        if tensor.fill is not None
    }


def fill_array(
    fill: FillPlan,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    rng: np.random.Generator,
    point: Point | None = None,
) -> Array:
    """Return an array of ``shape`` made as ``fill`` says (see docs/spec-language.md, Fills).

    Args:
        fill: what fills the array.
        shape: the sizes of its axes.
        dtype: the dtype of its elements.
        rng: the source of random values.
        point: what says how a mask is padded: in its first row too, which otherwise has no padding, or wholly in its
            last row.
    """
    make = _all_padding if fill.name == "padding" and point is not None and point.all_padded else _FILLS[fill.name]
    array: Array = make(fill.args, shape, rng).astype(dtype)
    if fill.name == "padding" and point is not None and point.blank_row and array.size > shape[-1]:
        array.reshape(-1, shape[-1])[-1] = 0
    if fill.ending is not None and array.size:
        array[..., -1] = fill.ending
    return array


def _randint(args: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    low, high = (0, int(args[0])) if len(args) == 1 else (int(args[0]), int(args[1]))
    array = rng.integers(low, max(high, low + 1), shape)
    # Both ends occur, or a range one too wide would pass by luck.
    if array.size:
        array.flat[0] = max(high - 1, low)
    if array.size > 1:
        array.flat[-1] = low
    return array


def _arange(args: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    start = int(args[0]) if args else 0
    return np.broadcast_to(np.arange(start, start + shape[-1]), shape).copy()


def _padding(args: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return ones; every row but the first has zeros at its end (or start), more in later rows, never only zeros."""
    return _padded_from(1, args, shape)


def _all_padding(args: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return a padding whose first row has zeros too."""
    return _padded_from(0, args, shape)


def _padded_from(first: int, args: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    mask = np.ones(shape, dtype=np.int64)
    rows = mask.reshape(-1, shape[-1]) if mask.size else mask[:0]
    for index in range(first, len(rows)):
        padded = min((index + 1) * max(shape[-1] // _PADDED_PART, 1), shape[-1] // 2)
        if padded:
            side = slice(0, padded) if args and args[0] == "left" else slice(shape[-1] - padded, None)
            rows[index, side] = 0
    return mask


def _boxes(args: tuple[Any, ...], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return boxes (x0, y0, x1, y1) along the last axis with x0 ≤ x1 and y0 ≤ y1."""
    corners = rng.integers(0, int(args[0]), (*shape[:-1], 2, 2))
    return np.sort(corners, axis=-2).reshape(shape)


_FILLS: Mapping[str, Any] = {
    "randint": _randint,
    "arange": _arange,
    "padding": _padding,
    "boxes": _boxes,
    "ones": lambda args, shape, rng: np.ones(shape),
    "zeros": lambda args, shape, rng: np.zeros(shape),
    "randn": lambda args, shape, rng: rng.standard_normal(shape),
    "rand": lambda args, shape, rng: rng.random(shape),
    "bernoulli": lambda args, shape, rng: rng.random(shape) < float(args[0]),
}
