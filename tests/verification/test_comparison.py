"""The judge of one output: what is measured, what passes, and how a failing runtime is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.planning.plan import Axis, Bound, GraphPlan, Point, TensorPlan
from exporter.verification.comparison import (
    FEEBLE_FACTORS,
    Sample,
    compare_arrays,
    compare_outputs,
    feeble_outputs,
)
from exporter.verification.report import Comparison

TENSOR = TensorPlan("logits", "float32", (Axis("batch"), 3), ("logits",))
UNMEASURED = Comparison("model", "logits", "trace", {"batch": 2}, seed=0, shape=(2, 3))
BOUND = Bound(atol=1e-3, rtol=1e-2, rtol_of="element", because=None)


def compare(actual, expected, *, tensor=TENSOR, bound=BOUND):
    return compare_arrays(np.asarray(actual), np.asarray(expected), tensor, UNMEASURED, bound)


def array(value: float = 1.0):
    return np.full((2, 3), value, np.float32)


def test_equal_arrays_pass():
    comparison = compare(array(), array())
    assert comparison.passed
    assert (comparison.max_abs, comparison.share, comparison.outside, comparison.magnitude) == (0, 0, 0, 1)


def test_a_comparison_keeps_where_it_was_made():
    comparison = compare(array(), array())
    assert (comparison.graph, comparison.output, comparison.point, comparison.seed) == ("model", "logits", "trace", 0)
    assert comparison.sizes == {"batch": 2}
    assert comparison.shape == (2, 3)


def test_a_checkpoint_is_judged_by_the_largest_value_of_an_output():
    of_output = dataclasses.replace(BOUND, rtol_of="output")
    expected = array(0)
    expected[0, 0] = 10
    for offset, passed in ((0.1, True), (0.102, False)):
        actual = expected.copy()
        actual[1, 2] += offset
        assert compare(actual, expected, bound=of_output).passed is passed
        assert not compare(actual, expected).passed


def test_the_bound_is_absolute_plus_relative():
    expected = array(10)
    for offset, passed in ((0.1, True), (0.102, False)):
        actual = expected.copy()
        actual[1, 2] += offset
        comparison = compare(actual, expected)
        assert comparison.passed is passed
        assert comparison.where == (1, 2)
        assert comparison.outside == (0 if passed else 1)
        assert comparison.max_abs == pytest.approx(offset, rel=1e-3)


def test_the_other_measures_are_relative_and_scaled():
    expected, actual = array(4), array(4)
    actual[0, 2] = 5
    comparison = compare(actual, expected)
    assert comparison.max_rel == pytest.approx(0.25)
    assert comparison.scaled == pytest.approx(1 / 5)
    assert comparison.magnitude == 4


@given(st.floats(1e-6, 1e3), st.floats(0, 5))
def test_the_share_is_the_difference_over_the_bound(value, times):
    expected = np.full((2, 3), value, np.float64)
    actual = expected.copy()
    bound = 1e-3 + 1e-2 * value
    actual[0, 1] += times * bound
    tensor = TensorPlan("x", "float64", (Axis("batch"), 3), ("x",))
    assert compare(actual, expected, tensor=tensor).share == pytest.approx(times, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_fail_on_either_side(value):
    bad = array()
    bad[0, 0] = value
    assert compare(bad, array()).problem == "the graph gives values that are not finite"
    assert compare(array(), bad).problem == "PyTorch gives values that are not finite"
    assert not compare(bad, bad).passed


def test_shape_and_dtype_must_be_as_declared():
    assert "shape" in compare(np.ones((2, 4), np.float32), np.ones((2, 4), np.float32)).problem
    assert "shape" in compare(np.ones((1, 3), np.float32), array()).problem
    assert "dtype" in compare(array().astype(np.float64), array()).problem
    assert "dtype" in compare(array(), array().astype(np.float64)).problem


def test_an_output_without_elements_passes():
    unmeasured = dataclasses.replace(UNMEASURED, shape=(0, 3))
    empty = np.zeros((0, 3), np.float32)
    assert compare_arrays(empty, empty, TENSOR, unmeasured, BOUND).passed


def test_integers_and_booleans_are_compared_exactly():
    tensor = TensorPlan("ids", "int64", (Axis("batch"), 3), ("ids",))
    ids = np.arange(6).reshape(2, 3)
    assert compare(ids, ids, tensor=tensor).passed
    assert not compare(ids + (ids == 5), ids, tensor=tensor).passed


GRAPH = GraphPlan(
    component="decoder",
    file="decoder.bin",
    files=("decoder.bin",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", (Axis("batch"), 3), ("x",)),),
    outputs=(TENSOR, TensorPlan("hidden", "float32", (Axis("batch"), 3), ("hidden",))),
    ignored=(),
)
SAMPLE = Sample(Point("check 1", {"batch": 2}), 7, {"x": array()}, [array(1), array(2)])


class StubSession:
    name = "stub"

    def __init__(self, *outputs: np.ndarray, error: Exception | None = None) -> None:
        self.outputs, self.error = list(outputs), error

    def run(self, inputs):
        assert list(inputs) == ["x"]
        if self.error is not None:
            raise self.error
        return self.outputs


def test_a_run_gives_a_comparison_for_every_output():
    first, second = compare_outputs(StubSession(array(1), array(3)), GRAPH, SAMPLE, BOUND)
    assert (first.graph, first.output, first.point, first.seed) == ("decoder", "logits", "check 1", 7)
    assert first.passed
    assert second.output == "hidden"
    assert second.max_abs == 1
    assert not second.passed


def test_outputs_that_are_missing_are_named():
    first, second = compare_outputs(StubSession(array(1)), GRAPH, SAMPLE, BOUND)
    assert first.passed
    assert second.problem == "the graph gives 1 outputs only"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (AssertionError(), "the runtime fails: AssertionError"),
        (RuntimeError("\n\n  a node failed\nand a trace"), "the runtime fails: a node failed"),
    ],
)
def test_a_runtime_that_fails_fails_every_output(error, problem):
    comparisons = list(compare_outputs(StubSession(error=error), GRAPH, SAMPLE, BOUND))
    assert [comparison.problem for comparison in comparisons] == [problem, problem]
    assert not any(comparison.passed for comparison in comparisons)


def magnitudes(*values: float, **changed: object) -> list[Comparison]:
    return [dataclasses.replace(UNMEASURED, magnitude=value, **changed) for value in values]


def test_agreement_among_near_zeros_is_feeble():
    (line,) = feeble_outputs(magnitudes(0.09), 1e-3, "float32")
    assert "model: 'logits' is feeble" in line
    assert "below 1.00e-01" in line
    assert not feeble_outputs(magnitudes(0.11), 1e-3, "float32")


def test_an_output_is_as_large_as_at_its_best_seed():
    assert not feeble_outputs(magnitudes(0.01, 0.11), 1e-3, "float32")


def test_feebleness_is_judged_at_the_traced_sizes_where_something_was_measured():
    assert not feeble_outputs(magnitudes(0.0, point="check 1"), 1e-3, "float32")
    assert not feeble_outputs(magnitudes(0.0, problem="the runtime fails"), 1e-3, "float32")


def test_bfloat16_may_be_nearer_to_its_bound():
    between = 0.5 * (FEEBLE_FACTORS["bfloat16"] + FEEBLE_FACTORS["float32"]) * 1e-3
    assert feeble_outputs(magnitudes(between), 1e-3, "float32")
    assert not feeble_outputs(magnitudes(between), 1e-3, "bfloat16")
