"""Dummy inputs: every fill, its range, and that the same seed gives the same bytes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.planning.dummies import fill_array, make_dummies
from exporter.planning.plan import FillPlan, Point

RNG_SEED = 3


def make(name: str, shape: tuple[int, ...], *args, ending=None, dtype=np.int64):
    return fill_array(FillPlan(name, args, ending), shape, np.dtype(dtype), np.random.default_rng(RNG_SEED))


shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@given(shapes, st.integers(1, 50))
def test_randint_reaches_both_ends_and_stays_inside(shape, high):
    array = make("randint", shape, high)
    assert array.min() >= 0
    assert array.max() == high - 1
    if array.size > 1:
        assert array.min() == 0


@given(shapes, st.integers(0, 5), st.integers(1, 9))
def test_randint_from_low(shape, low, width):
    array = make("randint", shape, low, low + width)
    assert low <= array.min()
    assert array.max() < low + width


@given(st.tuples(st.integers(1, 5), st.integers(1, 12)), st.sampled_from([(), ("left",)]))
def test_padding_leaves_a_full_row_and_never_an_empty_one(shape, side):
    mask = make("padding", shape, *side)
    assert set(np.unique(mask)) <= {0, 1}
    assert mask[0].all()
    assert mask.any(axis=1).all()
    if shape[0] > 1 and shape[1] > 1:
        assert not mask.all()
    for row in mask:
        ordered = row if side else row[::-1]
        assert (np.diff(ordered) >= 0).all()


def test_long_rows_are_padded_by_a_part_of_their_length():
    mask = make("padding", (4, 320))
    assert (320 - mask.sum(axis=1)).tolist() == [0, 40, 60, 80]


@given(st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(4)))
def test_boxes_are_boxes(shape):
    boxes = make("boxes", shape, 1000)
    assert (boxes[..., 0] <= boxes[..., 2]).all()
    assert (boxes[..., 1] <= boxes[..., 3]).all()
    assert boxes.min() >= 0
    assert boxes.max() < 1000


def test_the_others():
    assert make("arange", (2, 3), 2).tolist() == [[2, 3, 4], [2, 3, 4]]
    assert make("ones", (2,), dtype=np.float32).tolist() == [1, 1]
    assert make("zeros", (2,), dtype=bool).tolist() == [False, False]
    assert make("randint", (3, 4), 9, ending=7)[:, -1].tolist() == [7, 7, 7]
    assert make("rand", (500,), dtype=np.float32).min() >= 0
    assert abs(make("randn", (5000,), dtype=np.float32).std() - 1) < 0.1
    assert make("randn", (4,), dtype=ml_dtypes.bfloat16).dtype == ml_dtypes.bfloat16
    flips = make("bernoulli", (2000,), 0.25, dtype=bool)
    assert 0.2 < flips.mean() < 0.3


@pytest.mark.parametrize("name", ["ones", "randn", "padding", "randint"])
def test_an_empty_axis_is_no_problem(name):
    args = (9,) if name == "randint" else ()
    assert make(name, (2, 0), *args).shape == (2, 0)


def test_equal_seeds_give_equal_inputs_and_points_differ():
    plan = exporter.plan("gpt2", "text-generation-with-past")
    (graph,) = plan.graphs
    first, again = (make_dummies(graph, plan.sizes.trace, 5) for _ in range(2))
    assert list(first) == [tensor.name for tensor in graph.inputs]
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = make_dummies(graph, plan.sizes.trace, 6)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_a_point_whose_masks_are_all_padded_has_no_full_row():
    (graph,) = exporter.plan("bert", "fill-mask").graphs
    masks = {
        all_padded: make_dummies(graph, Point("trace", {"batch": 1, "sequence": 8}, all_padded), 0)["attention_mask"]
        for all_padded in (True, False)
    }
    assert masks[False].tolist() == [[1] * 8]
    assert masks[True].tolist() == [[1] * 7 + [0]]


def test_points_of_other_names_have_other_values():
    (graph,) = exporter.plan("bert", "fill-mask").graphs
    sizes = {"batch": 2, "sequence": 8}
    first, second = (make_dummies(graph, Point(name, sizes), 0)["input_ids"] for name in ("trace", "check 1"))
    assert first.shape == second.shape == (2, 8)
    assert not np.array_equal(first, second)
