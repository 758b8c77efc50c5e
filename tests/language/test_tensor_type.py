"""Tensor lines: parse and print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.tensor_type import DTYPES, FILLS, TensorTypeError, parse_tensor_type

names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: name != "ending")
terms = names | st.integers(0, 9999).map(str)
dims = st.lists(terms, min_size=1, max_size=3).map(" + ".join)


@st.composite
def lines(draw: st.DrawFn) -> str:
    shape = ", ".join(draw(st.lists(dims, max_size=5)))
    text = f"{draw(st.sampled_from(DTYPES))}[{shape}]"
    fill = draw(st.none() | st.sampled_from(sorted(FILLS)))
    if fill is None:
        return text
    count = draw(st.sampled_from(list(FILLS[fill][0])))
    args = ["left"] if fill == "padding" and count else [draw(terms) for _ in range(count)]
    text += f" = {fill}" + (f"({', '.join(args)})" if args else "")
    return text + draw(st.sampled_from(["", " ending(eos)", " ending(2)"]))


@given(lines())
def test_printing_is_the_inverse_of_parsing(line):
    assert str(parse_tensor_type(line)) == line


@given(st.text(max_size=40) | st.text("int64flo[],=+ ()abc123", max_size=40))
def test_whatever_is_not_a_line_has_a_place(text):
    try:
        parse_tensor_type(text)
    except TensorTypeError as error:
        assert 0 <= error.start <= error.end
        assert error.start <= len(text)


@pytest.mark.parametrize(
    ("line", "culprit", "message"),
    [
        ("int64[batch sequence]", "sequence", "expected ',' or ']' after a dim, found 'sequence'"),
        ("int46[batch]", "int46", "unknown dtype 'int46'"),
        ("int64[batch] = randnt(vocab)", "randnt", "unknown fill 'randnt'"),
        ("int64[batch", "", "found the end of the line"),
        ("int64[batch] = randint", "randint", "'randint' takes 1 to 2 arguments, not 0"),
        ("int64[1.5]", "1.5", "an axis has an integer length"),
        ("int64[batch] = padding(up)", "up", "padding is 'left' or 'right'"),
        ("int64 [batch] oops", "oops", "found 'oops'"),
    ],
)
def test_mistakes_are_told_with_the_culprit(line, culprit, message):
    with pytest.raises(TensorTypeError) as failure:
        parse_tensor_type(line)
    assert message in failure.value.message
    assert line[failure.value.start : failure.value.end] == culprit


def test_parts():
    parsed = parse_tensor_type("int64[batch, past_sequence + sequence] = randint(2, vocab) ending(eos)")
    assert parsed.dtype == "int64"
    assert [dim.names() for dim in parsed.dims] == [("batch",), ("past_sequence", "sequence")]
    assert parsed.fill.name == "randint"
    assert parsed.fill.ending.value == "eos"
    assert {term.value for term in parsed.terms()} == {"batch", "past_sequence", "sequence", 2, "vocab", "eos"}


@pytest.mark.parametrize("line", ["bool[] = bernoulli(0.00001)", "bool[] = bernoulli(1234567890123.5)"])
def test_a_decimal_is_printed_as_it_is_read(line: str):
    assert str(parse_tensor_type(line)) == line


def test_a_number_of_very_many_digits_is_refused():
    with pytest.raises(TensorTypeError, match="at most 18 digits") as failure:
        parse_tensor_type(f"int64[batch, {'9' * 19}]")
    assert (failure.value.start, failure.value.end) == (13, 32)
