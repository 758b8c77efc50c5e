"""Texts and places in them: lines, columns and offsets are of one mind, whatever ends a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.text import Span, Text

TEXT = Text("x.yaml", "ab\r\ncd\n\nef\rg")


@pytest.mark.parametrize(
    ("offset", "position"),
    [(0, (1, 1)), (1, (1, 2)), (4, (2, 1)), (6, (2, 3)), (7, (3, 1)), (8, (4, 1)), (11, (5, 1)), (12, (5, 2))],
)
def test_an_offset_has_a_line_and_a_column_counted_from_one(offset: int, position: tuple[int, int]):
    assert TEXT.position(offset) == position


@pytest.mark.parametrize(
    ("line", "column", "offset"),
    [(0, 0, 0), (0, 2, 2), (1, 1, 5), (3, 0, 8), (4, 0, 11), (4, 99, 12), (5, 0, 12), (99, 7, 12)],
    ids=str,
)
def test_a_line_and_a_column_counted_from_zero_have_an_offset_in_the_text(line: int, column: int, offset: int):
    assert TEXT.offset(line, column) == offset


def test_lines_are_without_their_breaks():
    assert [TEXT.line(number) for number in range(1, 6)] == ["ab", "cd", "", "ef", "g"]
    assert list(TEXT.lines()) == ["ab", "cd", "", "ef", "g"]
    assert list(Text("x", "").lines()) == [""]
    assert list(Text("x", "a\n").lines()) == ["a", ""]


def test_only_the_breaks_of_yaml_end_a_line():
    # str.splitlines would break these too, and every place below would be a line off.
    assert list(Text("x", "a\x0bb\x0cc\x1cd\x85e\u2028f").lines()) == ["a\x0bb\x0cc\x1cd\x85e\u2028f"]


@given(st.text("ab\r\n", max_size=30))
def test_positions_and_offsets_are_inverse(text: str):
    source = Text("x", text)
    for offset in range(len(text) + 1):
        line, column = source.position(offset)
        assert source.offset(line - 1, column - 1) == offset


@given(st.text("ab\r\n", max_size=30))
def test_the_lines_and_their_breaks_are_the_text(text: str):
    lines = list(Text("x", text).lines())
    assert "".join(lines) == text.replace("\r", "").replace("\n", "")
    assert len(lines) == len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def test_a_span_tells_its_place_and_its_text():
    span = TEXT.span(5, 6)
    assert (span.line, span.column, span.text, span.location()) == (2, 2, "d", "x.yaml:2:2")


@pytest.mark.parametrize(
    ("start", "end", "inner"),
    [
        (0, 2, (2, 4)),
        (1, 99, (3, 6)),
        # A culprit after the last character, such as a bracket that nobody closes, has an empty place there.
        (4, 5, (6, 6)),
        (7, 9, (9, 9)),
    ],
)
def test_a_span_within_another_ends_where_that_one_ends(start: int, end: int, inner: tuple[int, int]):
    span = Span(TEXT, 2, 6).within(start, end)
    assert (span.start, span.end) == inner
    assert span.source is TEXT


def test_equal_texts_are_one_key_and_others_are_not():
    copy = Text("x.yaml", TEXT.text)
    assert {TEXT: 1}[copy] == 1
    assert Text("x.yaml", TEXT.text[::-1]) not in {TEXT: 1}
    assert Text("y.yaml", TEXT.text) != TEXT
    assert Text("x.yaml", TEXT.text, Path("x.yaml")) != TEXT
    assert len({TEXT.span(1, 2), copy.span(1, 2), TEXT.span(1, 3)}) == 2


def test_a_span_is_shown_without_the_whole_text():
    assert repr(TEXT.span(1, 2)) == "Span(start=1, end=2)"
