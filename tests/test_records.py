"""Dataclasses as data and back: what is written is read as it was, and what is damaged is refused with its place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.planning.plan import Axis
from exporter.records import from_data, to_data


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    name: str
    size: int
    ratio: float
    is_last: bool
    colour: Colour


@dataclass(frozen=True)
class Tree:
    leaf: Leaf
    other: Leaf | None
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, Leaf]
    grouped: Mapping[str, tuple[Leaf, ...]]
    shape: tuple[int | Axis, ...]
    rows: tuple[tuple[int, ...], ...]
    setting: bool | int | float | str
    place: Path
    maybe_place: Path | None
    maybe_colour: Colour | None
    anything: Any


names = st.text(max_size=8)
leaves = st.builds(
    Leaf,
    name=names,
    size=st.integers(),
    ratio=st.floats(allow_nan=False),
    is_last=st.booleans(),
    colour=st.sampled_from(Colour),
)
axes = st.integers() | st.sampled_from(["batch", "past + sequence", "sequence + 1"]).map(Axis)
places = st.sampled_from([Path("graphs"), Path("onnx/model.onnx"), Path("/tmp/x")])
trees = st.builds(
    Tree,
    leaf=leaves,
    other=st.none() | leaves,
    leaves=st.lists(leaves, max_size=3).map(tuple),
    by_name=st.dictionaries(names, leaves, max_size=2),
    grouped=st.dictionaries(names, st.lists(leaves, max_size=2).map(tuple), max_size=2),
    shape=st.lists(axes, max_size=4).map(tuple),
    rows=st.lists(st.lists(st.integers(), max_size=3).map(tuple), max_size=3).map(tuple),
    setting=st.booleans() | st.integers() | st.floats(allow_nan=False) | names,
    place=places,
    maybe_place=st.none() | places,
    maybe_colour=st.none() | st.sampled_from(Colour),
    anything=st.recursive(st.none() | st.booleans() | st.integers() | names, lambda part: st.lists(part, max_size=2)),
)


@given(trees)
def test_what_is_written_as_json_is_read_as_it_was(tree: Tree):
    again = from_data(Tree, json.loads(json.dumps(to_data(tree))))
    assert again == tree
    assert [type(axis) for axis in again.shape] == [type(axis) for axis in tree.shape]
    assert type(again.setting) is type(tree.setting)


def leaf_data(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "size": 1, "ratio": 0.5, "is_last": False, "colour": "red", **changes}


def test_data_is_plain():
    leaf = Leaf("a", 1, 0.5, False, Colour.RED)
    assert to_data(leaf) == leaf_data()
    assert to_data({"places": (Path("a/b"),), 3: Colour.BLUE}) == {"places": ["a/b"], "3": "blue"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weight": 1}, TypeError, "Leaf has no field weight"),
        ({"zebra": 1, "age": 2}, TypeError, "Leaf has no field age, zebra"),
        ({"name": 3}, TypeError, "Leaf.name cannot be 3"),
        ({"name": None}, TypeError, "Leaf.name cannot be None"),
        ({"size": "1"}, TypeError, "Leaf.size cannot be '1'"),
        ({"size": 1.5}, TypeError, "Leaf.size cannot be 1.5"),
        ({"size": True}, TypeError, "Leaf.size cannot be True"),
        ({"ratio": "0.5"}, TypeError, "Leaf.ratio cannot be '0.5'"),
        ({"ratio": False}, TypeError, "Leaf.ratio cannot be False"),
        ({"is_last": 1}, TypeError, "Leaf.is_last cannot be 1"),
        ({"colour": "green"}, ValueError, "'green' is not a valid Colour"),
    ],
)
def test_a_damaged_field_is_refused_with_its_name(changes: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error) as failure:
        from_data(Leaf, leaf_data(**changes))
    assert message in str(failure.value)


@given(st.sampled_from([field.name for field in dataclasses.fields(Leaf)]))
def test_a_missing_field_is_named(name: str):
    data = leaf_data()
    del data[name]
    with pytest.raises(KeyError, match=name):
        from_data(Leaf, data)


def test_a_whole_number_is_a_float_where_one_is_due():
    ratio = from_data(Leaf, leaf_data(ratio=2)).ratio
    assert (ratio, type(ratio)) == (2.0, float)


@pytest.mark.parametrize("data", [None, "leaf", [1], 3])
def test_only_a_mapping_makes_a_dataclass(data: Any):
    with pytest.raises(TypeError, match="Leaf is made of a mapping"):
        from_data(Leaf, data)


@dataclass(frozen=True)
class Box:
    leaves: tuple[Leaf, ...] = ()
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    limit: int | None = None
    colour: Colour | None = None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leaves": "ab"}, "Box.leaves is a list, not 'ab'"),
        ({"leaves": {}}, "Box.leaves is a list, not {}"),
        ({"leaves": [leaf_data(size=None)]}, "Leaf.size cannot be None"),
        ({"sizes": [1]}, "Box.sizes is a mapping, not [1]"),
        ({"sizes": {"batch": "two"}}, "Box.sizes cannot be 'two'"),
        ({"limit": True}, "Box.limit cannot be True"),
        ({"limit": "3"}, "Box.limit cannot be '3'"),
        ({"colour": "green"}, "Box.colour cannot be 'green'"),
    ],
)
def test_a_damaged_part_is_refused_with_its_place(changes: dict[str, Any], message: str):
    with pytest.raises(TypeError) as failure:
        from_data(Box, {**to_data(Box()), **changes})
    assert message in str(failure.value)


def test_long_values_are_cut_in_messages():
    with pytest.raises(TypeError) as failure:
        from_data(Leaf, leaf_data(size="9" * 5000))
    assert len(str(failure.value)) < 120
