"""Outside a trace each function does what the one it stands in for does; inside one it follows the sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from exporter.models.recorded_python import (
    RecordedNumpy,
    record_as_strided,
    record_einsum,
    record_function,
    record_interpolate,
    record_stride,
    record_view,
)

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
recorded_numpy: Any = RecordedNumpy()


def traced(function: Callable[..., Any], *examples: torch.Tensor) -> Callable[..., Any]:
    trace: Any = torch.jit.trace
    recorded: Callable[..., Any] = trace(function, examples, check_trace=False)
    return recorded


def test_outside_a_trace_nothing_differs() -> None:
    assert record_function("min")(3, 1, 2) == 1
    assert record_function("max")([3, 1], key=lambda value: -value) == 1
    assert record_function("len")([1, 2]) == record_function("len")(torch.ones(2, 3)) == 2
    assert record_function("tensor")([1, 2], dtype=torch.int32).dtype is torch.int32
    assert recorded_numpy.zeros((2, 3)).tolist() == np.zeros((2, 3)).tolist()
    assert recorded_numpy.stack([np.ones(2), np.ones(2)], axis=1).shape == (2, 2)
    assert recorded_numpy.prod((2, 3)) == 6
    assert recorded_numpy.arange(3).tolist() == [0, 1, 2]
    x = torch.arange(24.0).reshape(2, 3, 4).transpose(0, 1)
    assert record_stride(x) == x.stride()
    assert record_stride(x, 1) == x.stride(1)
    assert torch.equal(record_as_strided(x, (2, 2), (1, 4), 3), x.as_strided((2, 2), (1, 4), 3))
    assert torch.equal(record_view(x, 3, 2, -1, 2), x.view(3, 2, -1, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: record_function("min")(x.shape[0], 5)],
        lambda x: x * record_function("max")(x.shape[0], 5),
        lambda x: x * record_function("len")(x),
        lambda x: torch.as_tensor(recorded_numpy.zeros((x.shape[0], 4), dtype=np.int64)),
        lambda x: x.reshape(recorded_numpy.prod((x.shape[0], x.shape[1]))),
        lambda x: record_view(x, x.shape[0], -1, 2).sum(-1),
    ],
    ids=["min", "max", "len", "zeros", "prod", "view"],
)
def test_recorded_at_one_size_is_right_at_another(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    recorded = traced(function, torch.rand(4, 4))
    for rows in (3, 4, 9):
        x = torch.rand(rows, 4)
        torch.testing.assert_close(recorded(x), function(x))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_strides_of_a_dense_tensor_follow_from_its_sizes(order: tuple[int, ...]) -> None:
    strides: list[Any] = []
    x = torch.rand(2, 3, 4).permute(order)
    traced(lambda value: strides.extend(record_stride(value)) or value, x)
    assert [*map(int, strides)] == [*x.stride()]


def test_strides_of_a_tensor_with_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="do not follow from its sizes"):
        traced(lambda x: x * record_stride(x)[0], torch.rand(4, 4)[:, ::2])


@pytest.mark.parametrize("equation", ["blhd,bshd->blhs", "bhlqd,bhkd->bhlqk", "bhlqk,bhkd->bhlqd", "blq,blk->blqk"])
def test_einsum_is_a_matrix_product(equation: str) -> None:
    lengths = {label: size for size, label in enumerate("bhlsqkd", start=2)}
    left, right = equation.split("->")[0].split(",")
    first, second = (torch.rand([lengths[label] for label in side]) for side in (left, right))
    recorded = traced(lambda one, other: record_einsum(equation, one, other), first, second)
    torch.testing.assert_close(recorded(first, second), torch.einsum(equation, first, second))
    assert "einsum" not in str(recorded.graph)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [5, (5, 9), (31, 2)])
def test_the_nearest_value_is_taken_by_index(size: Any) -> None:
    image = torch.rand(1, 2, 14, 6)
    recorded = record_interpolate(functional.interpolate)
    assert torch.equal(recorded(image, size), functional.interpolate(image, size))


def test_other_ways_to_resize_are_left_to_pytorch() -> None:
    image = torch.rand(1, 2, 4, 6)
    recorded = record_interpolate(functional.interpolate)
    for options in ({"scale_factor": 2}, {"size": (3, 3), "mode": "bilinear", "align_corners": False}):
        assert torch.equal(recorded(image, **options), functional.interpolate(image, **options))
