"""The sandbox: what an expression can say, and what it cannot do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.expressions import (
    ExpressionError,
    ProcessorValues,
    evaluate_expression,
    expression_names,
    expression_paths,
)


class Config:
    """A config with the things an attacker would reach for."""

    def __init__(self) -> None:
        self.hidden_size, self.heads, self.image_size, self.name = 40, 4, [24, 36], "x"
        self.vision = SimpleNamespace(depths=[2, 3], size=7)

    def method(self) -> str:
        return "called"


CONFIG = Config()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("config.hidden_size // config.heads", 10),
        ("config.vision.depths[1]", 3),
        ("config.vision.depths | length", 2),
        ("config.vision.depths | sum + 1", 6),
        ("config.image_size[0] if config.image_size is iterable else config.image_size", 24),
        ("(height // 6) * 2 + 1", 9),
        ("config.name == 'x' and not config.heads > 4", True),
        ("config.hidden_size", 40),
        ("height // 2 ** (config.vision.depths | length)", 6),
        ("config.vision.depths | product", 6),
        ("height | convolved(3, 2)", 11),
        ("height | convolved([10, 3], config.vision.depths)", 2),
        ("height | convolved(3, 2, 1, 2)", 6),
        ("height | convolved(3, 2, 1, 0)", 24),
    ],
)
def test_values(text, value):
    assert evaluate_expression(text, CONFIG, {"height": 24}) == value


@pytest.mark.parametrize(
    "text",
    [
        "config.method()",
        "().__class__",
        "config.__class__",
        "config._hidden",
        "config.method",
        "''.join(['a'])",
        "config.heads ** 99999999",
        "'x' * 999999999",
        "[0] * 99999999",
        "99999 ** 64",
        "2 ** 0.5",
        "2 ** 64 ** 64",
        "{{ 1 }}",
        "1 }} {{ 2",
        "{% raw %}",
        "config.missing",
        "unknown + 1",
        "1 // 0",
        "config.name + 1",
        "",
        "range(10)",
        "lipsum",
        "config['__class__']",
        "height | product",
        "config.name | product",
        "['x'] | product",
        "height | convolved([3, 3], 2)",
        "height | convolved(25, 1)",
        "height | convolved(3, 0)",
        "height | convolved('x', 2)",
        "height | convolved(1, 1, 0, 9999)",
        "config | attr('__class__')",
        "config.name | upper",
        "x" * 2000,
        "(" * 300 + "1" + ")" * 300,
    ],
)
def test_what_is_not_allowed_or_does_not_hold_is_an_expression_error(text):
    with pytest.raises(ExpressionError):
        evaluate_expression(text, CONFIG, {"height": 24})


GROWING = [
    "'%900000000d' % 1",
    "'%*d' % (900000000, 1)",
    "'%.900000000f' % 1.5",
    "'x' * 900000000",
    "900000000 * 'x'",
    "900000000 * config.name",
    "config.name * 900000000",
    "config.vision.depths * 900000000",
    "(0,) * 900000000",
    "[[0] * 9999] * 9999",
    "config.name ~ config.name",
    "config.name + config.name",
    "config.vision.depths + config.vision.depths",
    "'a' | center(900000000)",
    "'a' | indent(900000000)",
    "'a' | replace('', 'b')",
    "['a'] | join('b')",
    "'%d' | format(1)",
    "[1] | list",
    "range(900000000) | sum",
    "'{:900000000d}'.format(1)",
    "'a'.ljust(900000000)",
    "1 << 900000000",
    "config.name % 7",
    "{'a': 1}",
    "config.vision.depths[0:1]",
    "2 ** 63",
    "4611686018427387904 * 4",
    "9223372036854775808",
    "-9223372036854775807 - 9",
    "[9223372036854775807, 1] | sum",
    "1e308 * 10",
    "1e999",
    "1e999 | int",
    "[9999999999, 9999999999] | product",
    "-" * 400 + "1",
    "not " * 100 + "1",
    "1" + " + 1" * 110,
    "config.long == config.long",
    "7 in config.items_",
    "config.items_ | max",
    "config.items_ | sum",
    "config.items_ == [1]",
    "config.nested == config.nested",
    "config.huge",
    "config.huge + 1",
    "config.items_ | first | length",
    "1 if not config.name",
]


@pytest.mark.parametrize("text", GROWING)
def test_nothing_becomes_much_out_of_little(text: str):
    config = SimpleNamespace(
        name="x" * 100,
        vision=SimpleNamespace(depths=[2, 3]),
        long="x" * 100_000,
        items_=list(range(2_000)),
        nested=[[1] * 50] * 50,
        huge=10**4000,
    )
    with pytest.raises(ExpressionError) as failure:
        evaluate_expression(text, config)
    assert len(failure.value.message) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("config.names | length", 3000),
        ("config.items_ | last", 1999),
        ("'key' in config.entries", True),
        ("'other' not in config.entries", True),
        ("config.entries.key", 1),
        ("config.entries.other is defined", False),
        ("config.missing is undefined", True),
        ("config.depths == [2, 3]", True),
        ("2 in config.depths", True),
        ("1 < 2 < 3 and not 1 < 2 < 2", True),
        ("config.entries is mapping and config.name is string and 1.5 is float", True),
        ("config.depths[-1]", 3),
        ("2 ** 62", 2**62),
        ("config.name or 7", 7),
    ],
)
def test_what_is_bounded_is_still_there(text: str, value: object):
    config = SimpleNamespace(
        names={str(number): "x" for number in range(3_000)},
        items_=list(range(2_000)),
        entries={"key": 1},
        depths=[2, 3],
        name="",
    )
    assert evaluate_expression(text, config) == value


def test_a_branch_that_is_not_taken_is_not_evaluated():
    class Sizes(dict[str, int]):
        def __getitem__(self, name: str) -> int:
            raise AssertionError(name)

    assert evaluate_expression("1 if true else height", CONFIG, Sizes(height=1)) == 1


def test_an_unknown_filter_or_test_is_named_with_the_nearest():
    for text, hint in (("config.vision.depths | lenght", "length"), ("config.name is defind", "defined")):
        with pytest.raises(ExpressionError) as failure:
            expression_names(text)
        assert failure.value.help == f"did you mean '{hint}'?"


def test_a_missing_key_is_named_with_the_nearest():
    with pytest.raises(ExpressionError) as failure:
        evaluate_expression("config.hiden_size", CONFIG)
    assert failure.value.message == "the config has no 'hiden_size'"
    assert failure.value.help == "did you mean 'hidden_size'?"
    assert "config.hiden_size"[failure.value.start : failure.value.end] == ".hiden_size"


def test_names_and_paths():
    text = "config.vision.size // patch + config.heads"
    assert expression_names(text) == ["config", "patch"]
    assert sorted(expression_paths(text)) == ["heads", "vision.size"]


def test_a_processor_says_what_its_files_say_and_none_for_the_rest():
    processor = ProcessorValues({"return_attention_mask": True, "size": {"height": 8}, "__class__": 1})
    text = "config.heads > 9 or processor.return_attention_mask"
    assert evaluate_expression(text, CONFIG, {}, processor) is True
    assert evaluate_expression("processor.size.height", CONFIG, {}, processor) == 8
    assert evaluate_expression("processor.size", CONFIG, {}) is None
    assert expression_paths(text) == ["heads"]
    assert expression_names(text) == ["config", "processor"]
    with pytest.raises(ExpressionError):
        evaluate_expression("processor.__class__.__mro__", CONFIG, {}, processor)


@given(st.text("config.heads0123+-*/() |[]{}%'\"_", max_size=60))
def test_no_text_raises_anything_else(text):
    try:
        evaluate_expression(text, CONFIG, {"height": 24})
    except ExpressionError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1)
