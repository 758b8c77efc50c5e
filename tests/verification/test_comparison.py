"""The judge: what passes, what fails, and how a failure is told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.planning.plan import Point, TensorPlan
from exporter.verification.comparison import compare_arrays, feeble_outputs
from exporter.verification.report import Comparison, Report

TENSOR = TensorPlan("logits", "float32", ("batch", 3), ("logits",))
POINT = Point("trace", {"batch": 2})


def compare(actual, expected, atol=1e-3, rtol=1e-2, tensor=TENSOR, rtol_of="element"):
    bound = SimpleNamespace(atol=atol, rtol=rtol, rtol_of=rtol_of)
    return compare_arrays(np.asarray(actual), np.asarray(expected), tensor, "model", POINT, 0, bound)


def array(value: float = 1.0):
    return np.full((2, 3), value, np.float32)


def test_equal_arrays_pass():
    found = compare(array(), array())
    assert found.passed
    assert (found.max_abs, found.share, found.outside, found.magnitude) == (0, 0, 0, 1)


def test_a_checkpoint_is_judged_by_the_largest_value_of_an_output():
    expected = array(0)
    expected[0, 0] = 10
    for offset, passed in ((0.1, True), (0.102, False)):
        actual = expected.copy()
        actual[1, 2] += offset
        assert compare(actual, expected, rtol_of="output").passed is passed
        assert not compare(actual, expected).passed


def test_the_bound_is_absolute_plus_relative():
    expected = array(10)
    for offset, passed in ((0.1, True), (0.102, False)):
        actual = expected.copy()
        actual[1, 2] += offset
        found = compare(actual, expected)
        assert found.passed is passed
        assert found.where == (1, 2)
        assert found.outside == (0 if passed else 1)
        assert found.max_abs == pytest.approx(offset, rel=1e-3)


@given(st.floats(1e-6, 1e3), st.floats(0, 5))
def test_the_share_is_the_difference_over_the_bound(value, times):
    expected = np.full((2, 3), value, np.float64)
    actual = expected.copy()
    bound = 1e-3 + 1e-2 * value
    actual[0, 1] += times * bound
    tensor = TensorPlan("x", "float64", ("batch", 3), ("x",))
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


def test_integers_and_booleans_are_compared_exactly():
    tensor = TensorPlan("ids", "int64", ("batch", 3), ("ids",))
    ids = np.arange(6).reshape(2, 3)
    assert compare(ids, ids, tensor=tensor).passed
    assert not compare(ids + (ids == 5), ids, tensor=tensor).passed


def comparison(output: str, point: str, share: float, **more) -> Comparison:
    sizes = {"trace": {"batch": 2}, "check 1": {"batch": 1}, "check 2": {"batch": 3}}[point]
    fields = {
        "max_abs": share * 1e-3,
        "max_rel": 0.0,
        "outside": int(share > 1),
        "magnitude": 1.0,
        "problem": None,
        **more,
    }
    return Comparison("model", output, point, sizes, 0, (2, 3), share=share, where=(0, 0), **fields)


def test_a_failure_says_which_sizes_pass():
    baked = Report(
        "ort",
        1e-3,
        0,
        tuple(
            comparison("logits", point, share) for point, share in (("trace", 0.1), ("check 1", 40), ("check 2", 50))
        ),
        (),
    )
    (line,) = baked.failures()
    assert "passes at the traced sizes only: an axis was baked in" in line
    assert "50 times its bound" in line
    assert "batch 3" in line
    nowhere = Report("ort", 1e-3, 0, (comparison("logits", "trace", 2),), ())
    assert "passes nowhere" in nowhere.failures()[0]
    assert not nowhere.passed


def test_structure_problems_come_first_and_fail():
    report = Report(
        "ort", 1e-3, 0, (comparison("logits", "trace", 0.1),), ("model.onnx has opset 17, and 18 was asked for",)
    )
    assert not report.passed
    assert report.failures() == ["model.onnx has opset 17, and 18 was asked for"]


def test_the_worst_of_each_output_is_reported():
    report = Report(
        "ort",
        1e-3,
        0,
        tuple(
            comparison(name, point, share)
            for name, point, share in (("a", "trace", 0.2), ("a", "check 1", 0.7), ("b", "trace", 0.1))
        ),
        (),
    )
    assert {key[1]: worst.share for key, worst in report.worst().items()} == {"a": 0.7, "b": 0.1}
    assert Report.from_data(report.to_data() | {"passed": None}) == report


def test_agreement_among_near_zeros_is_feeble():
    plan = SimpleNamespace(target="onnx", settings={}, dtype="float32", atol=1e-3)
    assert feeble_outputs([comparison("logits", "trace", 0.1, magnitude=0.09)], plan)
    assert not feeble_outputs([comparison("logits", "trace", 0.1, magnitude=0.11)], plan)
