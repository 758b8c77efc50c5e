"""What errors tell a person: the first line of a library's words, the nearest name, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import errors
from exporter.errors import describe_error, did_you_mean, first_line, format_bytes


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such op: Foo\nTraceback of the C++ side"), "no such op: Foo"),
        (AssertionError(), "AssertionError"),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError("\n\n \n"), "RuntimeError"),
        (RuntimeError("\n\n   the third line says it  \nand more"), "the third line says it"),
        (KeyError("weight"), "'weight'"),
        ("onnx.checker: bad\nnode 3", "onnx.checker: bad"),
        ("", "no reason given"),
        ("\n \n", "no reason given"),
    ],
)
def test_the_first_line_of_an_error_says_something(error: Exception | str, text: str):
    assert first_line(error) == text


def test_a_long_line_is_cut_to_the_limit():
    assert first_line(ValueError("x" * 1000)) == "x" * 300
    assert first_line("abcdef\nghi", limit=4) == "abcd"
    assert first_line("abcd", limit=4) == "abcd"


def test_every_line_ending_ends_the_first_line():
    assert [first_line(f"one{end}two") for end in ("\n", "\r\n", "\r")] == ["one"] * 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such op: Foo\nTraceback of the C++ side"), "ValueError: no such op: Foo"),
        (KeyError("weight"), "KeyError: 'weight'"),
        (AssertionError(), "AssertionError"),
        (RuntimeError("\n \n"), "RuntimeError"),
        (RuntimeError("\n  the second line says it\n"), "RuntimeError: the second line says it"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 300),
    ],
)
def test_an_error_is_described_by_its_type_and_its_text(error: Exception, text: str):
    assert describe_error(error) == text


def test_no_message_writes_the_type_of_an_error_before_its_text_by_itself():
    """An error without text would be called by its type twice; `describe_error` knows that."""
    engine = Path(errors.__file__).parent
    for path in engine.rglob("*.py"):
        assert "__name__}: {first_line(" not in path.read_text("utf-8"), path


def test_the_nearest_name_is_suggested():
    assert did_you_mean("fil-mask", ["fill-mask", "default"]) == "did you mean 'fill-mask'?"
    assert did_you_mean("nothing", ["b", "a"], otherwise="its tasks are") == "its tasks are: a, b"
    assert did_you_mean("nothing", ["a"]) is None
    assert did_you_mean("nothing", [], otherwise="its tasks are") is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [("UsageError", 2), ("CheckpointError", 1), ("ExportError", 1), ("EngineError", 3), ("ExporterError", 1)],
)
def test_an_error_keeps_its_message_its_help_and_its_exit_code(kind: str, code: int):
    error = getattr(errors, kind)("it failed", help="do this")
    assert isinstance(error, errors.ExporterError)
    assert (str(error), error.message, error.help, error.exit_code) == ("it failed", "it failed", "do this", code)
    assert getattr(errors, kind)("it failed").help is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (2_500_000, "2.5 MB"),
        (7_250_000_000, "7.25 GB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_keeps_it_above_one(size: int, text: str):
    assert format_bytes(size) == text
