"""What an expression may compute: the bound of each operator, filter and test."""

from __future__ import annotations

import math
from typing import Any

import pytest

from exporter.language.operations import (
    BINARY,
    FILTERS,
    MAX_ITEMS,
    MAX_NUMBER,
    TESTS,
    UNARY,
    Missing,
    RefusedError,
    bounded,
    compare,
    kind_of,
    number,
    refuse_missing,
)


@pytest.mark.parametrize("value", [MAX_NUMBER, -MAX_NUMBER, 0.5, True, "text", None])
def test_values_within_the_bounds_pass(value: Any):
    assert bounded(value) is value


@pytest.mark.parametrize("value", [MAX_NUMBER + 1, -(2**70), math.inf, math.nan])
def test_numbers_beyond_the_bounds_are_refused(value: Any):
    with pytest.raises(RefusedError, match=r"beyond|not finite"):
        bounded(value)


def test_arithmetic_takes_numbers_alone():
    assert number(3, "'+'") == 3
    for value in ("3", [3], None):
        with pytest.raises(RefusedError, match=r"'\+' takes numbers"):
            number(value, "'+'")


def test_operators_are_named_as_they_are_written():
    assert {sign for sign, _ in BINARY.values()} == {"+", "-", "*", "/", "//", "%", "**"}
    assert {sign for sign, _ in UNARY.values()} == {"+", "-"}
    assert BINARY["FloorDiv"][1](7, 2) == 3


@pytest.mark.parametrize(("base", "exponent"), [(2, 65), (2, -1), (2, 0.5), (0.5, 2)])
def test_powers_are_of_whole_numbers_and_small_exponents(base: Any, exponent: Any):
    assert BINARY["Pow"][1](2, 10) == 1024
    with pytest.raises(RefusedError, match="exponents of 0 to 64"):
        BINARY["Pow"][1](base, exponent)


@pytest.mark.parametrize(
    ("kind", "left", "right", "holds"),
    [
        ("eq", [1, 2], [1, 2], True),
        ("ne", "a", "a", False),
        ("lteq", 2, 2, True),
        ("in", "a", {"a": 1}, True),
        ("in", [1], {"a": 1}, False),
        ("notin", "b", "abc", False),
        ("in", 2, [1, 2], True),
    ],
)
def test_comparisons(kind: str, left: Any, right: Any, holds: bool):
    assert compare(kind, left, right) is holds


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        ("lt", "a", "b"),
        ("eq", "a" * (MAX_ITEMS + 1), "b"),
        ("eq", [[1]], [[1]]),
        ("in", 1, range(3)),
        ("in", 1, [0] * (MAX_ITEMS + 1)),
        ("eq", {}, {}),
    ],
    ids=["order-of-texts", "long-text", "nested", "no-list", "long-list", "mapping"],
)
def test_comparisons_that_are_not_in_the_language_are_refused(kind: str, left: Any, right: Any):
    with pytest.raises(RefusedError):
        compare(kind, left, right)


def test_filters_and_tests_know_what_they_take():
    assert FILTERS["max"]([1, 3, 2]) == 3
    assert FILTERS["last"]((4, 5)) == 5
    assert TESTS["integer"](3)
    assert not TESTS["integer"](True)
    for name, value in (("max", "abc"), ("last", []), ("length", 3), ("sum", [0] * (MAX_ITEMS + 1))):
        with pytest.raises(RefusedError):
            FILTERS[name](value)


def test_what_the_config_lacks_is_named():
    with pytest.raises(RefusedError, match="the config has no 'depth'") as refusal:
        refuse_missing(Missing("depth"))
    assert refusal.value.culprit == ".depth"
    with pytest.raises(RefusedError, match="the config has no 'depth'"):
        kind_of(Missing("depth"))
    assert kind_of([]) == "a list"
