"""Nodes laid over one another: mappings by key, anything else replaces, null removes."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.document import Data, Mapping, Node, Scalar, Sequence, parse_document, to_data
from exporter.language.merging import child, is_null, merge_all, merge_nodes, only, strip_nulls, without
from exporter.language.text import Text


def read(text: str, name: str = "x.yaml") -> Mapping:
    root = parse_document(Text(name, text)).root
    assert root is not None
    return root


def value_of(node: Node | None) -> Data:
    return to_data(node) if node is not None else None


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ("{a: 1}", "{b: 2}", {"a": 1, "b": 2}),
        ("{a: 1}", "{a: 2}", {"a": 2}),
        ("{a: {b: 1, c: 2}}", "{a: {c: 3, d: 4}}", {"a": {"b": 1, "c": 3, "d": 4}}),
        ("{a: {b: {c: 1, d: 2}}}", "{a: {b: {c: null}}}", {"a": {"b": {"d": 2}}}),
        ("{a: {b: 1}}", "{a: 2}", {"a": 2}),
        ("{a: 1}", "{a: {b: 2}}", {"a": {"b": 2}}),
        ("{a: [1, 2, 3]}", "{a: [4]}", {"a": [4]}),
        ("{a: 1, b: 2}", "{a: null}", {"b": 2}),
        ("{a: {b: 1}}", "{a: null}", {}),
        ("{a: 1}", "{b: null}", {"a": 1}),
        ("{a: {}}", "{a: {b: {c: null}}}", {"a": {"b": {"c": None}}}),
        ("{a: 0}", "{a: false}", {"a": False}),
        ("{a: {atol: 1, because: why}}", "{a: {atol: 2}}", {"a": {"atol": 2}}),
        (
            "{a: {atol: 1, because: why}}",
            "{a: {rtol: 2, because: how}}",
            {"a": {"atol": 1, "rtol": 2, "because": "how"}},
        ),
        ("{a: {use: b, because: why}}", "{a: {use: c}}", {"a": {"use": "c", "because": "why"}}),
        ("{}", "{}", {}),
    ],
)
def test_one_mapping_over_another(base: str, over: str, merged: Data):
    assert value_of(merge_nodes(read(base), read(over))) == merged


def test_an_entry_keeps_its_place_in_the_order_and_a_new_one_comes_last():
    merged = merge_nodes(read("{a: 1, b: 2, c: 3}"), read("{d: 4, b: 5}"))
    assert isinstance(merged, Mapping)
    assert [key for key, _ in merged.items()] == ["a", "b", "c", "d"]


def test_every_node_keeps_the_place_it_was_written_at():
    merged = merge_nodes(read("a: {b: 1, c: 2}\n", "family.yaml"), read("\na: {c: 3}\n", "spec.yaml"))
    assert isinstance(merged, Mapping)
    inner = merged.get("a")
    assert isinstance(inner, Mapping)
    assert [node.span.location() for _, node in inner.entries] == ["family.yaml:1:8", "spec.yaml:2:8"]
    # The key that was written last is what a finding about the whole entry points at.
    assert [key.span.location() for key, _ in merged.entries] == ["spec.yaml:2:1"]


def test_nothing_over_a_node_and_a_node_over_nothing():
    node = read("{a: 1}")
    assert merge_nodes(node, None) is node
    assert merge_nodes(None, node) is node
    assert merge_nodes(None, None) is None


def test_merging_all_takes_the_last_word_and_drops_what_removes_nothing():
    layers = [read("{a: 1, b: 2}"), None, read("{a: null, c: {d: null, e: 5}}"), read("{a: 6, z: null}")]
    assert value_of(merge_all(layers)) == {"a": 6, "b": 2, "c": {"e": 5}}
    assert value_of(merge_all([read("{a: null, b: {c: null}}")])) == {"b": {}}


def test_merging_nothing_or_what_is_no_mapping_gives_nothing():
    assert merge_all([]) is None
    assert merge_all([None, None]) is None
    assert merge_all([read("{a: 1}"), read("{b: [1]}").get("b")]) is None


def test_a_null_is_null_however_it_is_written():
    root = read("{a: null, b: ~, c: , d: 'null', e: 0, f: false, g: '', h: {}, i: []}")
    assert [key for key, node in root.items() if is_null(node)] == ["a", "b", "c"]


def test_nulls_are_stripped_at_every_depth_of_mappings_and_in_no_list():
    assert value_of(strip_nulls(read("{a: null, b: {c: null, d: {e: null}}, f: [null]}"))) == {
        "b": {"d": {}},
        "f": [None],
    }
    scalar = Scalar(None, Text("x", "").span(0, 0))
    assert strip_nulls(scalar) is scalar


def test_a_child_is_found_by_its_path():
    root = read("{a: {b: {c: 1}}, d: [1]}")
    assert value_of(child(root, "a", "b", "c")) == 1
    assert child(root) is root
    assert isinstance(child(root, "d"), Sequence)
    for path in (("x",), ("a", "x", "c"), ("a", "b", "c", "d"), ("d", "0")):
        assert child(root, *path) is None
    assert child(None, "a") is None


def test_a_part_of_a_mapping_and_the_rest_of_it():
    root = read("{a: 1, b: 2, c: 3}")
    assert value_of(only(root, ("c", "a", "x"))) == {"a": 1, "c": 3}
    assert value_of(without(root, ("c", "a", "x"))) == {"b": 2}
    assert [key for key, _ in only(root, ("c", "a")).items()] == ["a", "c"]


def flow(value: Data) -> str:
    """Return plain data as flow YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)


trees = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.integers(0, 9), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_size=3,
)


@given(trees)
def test_a_document_over_itself_is_itself(data: Data):
    node = read(flow(data))
    assert value_of(merge_all([node, node])) == value_of(merge_all([node]))


@given(st.lists(trees, max_size=4))
def test_no_null_is_left_and_no_layer_is_changed(layers: list[Data]):
    nodes = [read(flow(data)) for data in layers]
    merged = value_of(merge_all(nodes))
    assert "None" not in repr(merged if layers else {})
    assert [to_data(node) for node in nodes] == layers


@given(trees, trees)
def test_merging_is_what_updating_by_key_says(base: dict[str, Data], over: dict[str, Data]):
    def update(under: Data, data: Data) -> Data:
        if not isinstance(under, dict) or not isinstance(data, dict):
            return data
        result = dict(under)
        for key, item in data.items():
            if item is None:
                result.pop(key, None)
            else:
                result[key] = update(result[key], item) if key in result else item
        return result

    nodes: list[Node | None] = [read(flow(base)), read(flow(over))]
    assert value_of(reduce(merge_nodes, nodes)) == update(base, over)
