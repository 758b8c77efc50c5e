"""YAML to nodes: places, limits, scalars."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.document import MAX_BYTES, MAX_DEPTH, Scalar, load_document, parse_document, to_data
from exporter.language.text import Text


def parse(text: str):
    return parse_document(Text("x.yaml", text))


def rules(text: str) -> list[tuple[str, int, int]]:
    return [(finding.rule, finding.span.line, finding.span.column) for finding in parse(text).diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        (".5", 0.5),
        ("-7", -7),
        ("0x1f", 31),
        ("0o17", 15),
        ("017", 17),
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ('"null"', "null"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("99999999999999999999999", "99999999999999999999999"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    document = parse(f"key: {text}\n")
    assert not document.diagnostics
    found = to_data(document.root)["key"]
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_are_numbers():
    data = to_data(parse("a: .inf\nb: -.Inf\nc: .NaN\n").root)
    assert data["a"] == float("inf")
    assert data["b"] == float("-inf")
    assert data["c"] != data["c"]


def test_every_node_knows_its_place():
    document = parse("dims:\n  batch: {trace: 2, check: [1, 3]}\nname: 'a b'\n")
    batch = document.root.get("dims").get("batch")
    check = batch.get("check")
    assert check.items[1].span.location() == "x.yaml:2:32"
    assert check.items[1].span.text == "3"
    name = document.root.get("name")
    assert name.span.text == "'a b'"
    assert name.content.text == "a b"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: &x 1\n", 1, 4),
        ("a: *x\n", 1, 4),
        ("a: !!python/object/apply:os.system [x]\n", 1, 4),
        ("a: !int 1\n", 1, 4),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("<<: {a: 1}\n", 1, 1),
        ("? [a]\n: 1\n", 1, 3),
        ("a: 1\x00\n", 1, 5),
        ("a: \x1b[31m\n", 1, 4),
    ],
)
def test_yaml_beyond_data_is_refused_at_its_place(text, line, column):
    assert rules(text) == [("forbidden-yaml", line, column)]


def test_an_alias_bomb_is_refused_at_its_first_anchor():
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(9)
    )
    assert rules(bomb) == [("forbidden-yaml", 1, 4)]


def test_depth_is_bounded():
    assert rules("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[0][0] == "forbidden-yaml"
    assert not parse("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).diagnostics
    assert rules("[" * 200_000)[0][0] == "forbidden-yaml"


def test_size_is_bounded_before_reading(tmp_path: Path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: " + b"x" * MAX_BYTES)
    document = load_document(path)
    assert document.root is None
    assert [finding.rule for finding in document.diagnostics] == ["forbidden-yaml"]


def test_bytes_that_are_not_text_are_a_finding(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe")
    assert [finding.rule for finding in load_document(path).diagnostics] == ["yaml-syntax"]


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes("\ufeffa: 1\r\nb: 2\r\n".encode())
    document = load_document(path)
    assert to_data(document.root) == {"a": 1, "b": 2}
    assert document.root.get("b").span.line == 2


def test_duplicate_keys_show_both_places():
    document = parse("a: 1\nb: 2\na: 3\n")
    (finding,) = document.diagnostics
    assert (finding.rule, finding.span.line) == ("duplicate-key", 3)
    assert [label.span.line for label in finding.labels] == [1]
    assert to_data(document.root) == {"a": 1, "b": 2}


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just words\n"])
def test_a_document_is_a_mapping(text):
    assert [rule for rule, _, _ in rules(text)] == ["wrong-type"]


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdefg_-", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcxyz_", min_size=1, max_size=6), json_like, max_size=4))
def test_json_is_read_as_it_is(data):
    import json

    document = parse(json.dumps(data, ensure_ascii=False))
    assert not document.diagnostics
    assert to_data(document.root) == data


@given(st.text(max_size=200))
def test_no_text_raises(text):
    document = parse(text)
    assert document.root is not None or document.diagnostics
    for finding in document.diagnostics:
        assert 0 <= finding.span.start <= finding.span.end <= len(text)


@given(st.text("ab: -[]{}\n'\"#&*!|>%@,?\\\t", max_size=80))
def test_no_yaml_soup_raises(text):
    document = parse(text)
    for node in document.root.entries if document.root else ():
        assert isinstance(node[0], Scalar)
