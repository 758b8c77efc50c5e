from __future__ import annotations

from exporter.drafting.draft import Draft
from exporter.drafting.writing import flow, write_spec
from exporter.language.document import parse_document, to_data
from exporter.language.text import Text


def read(text: str) -> object:
    root = parse_document(Text("draft.yaml", text)).root
    assert root is not None
    return to_data(root)


def test_what_is_written_is_read_as_it_was():
    parts = {
        "dims": {"hidden": "config.a if config.b else 2", "tokens": {"derived": "rows * columns + 1"}},
        "inputs": {"mask": None, "ids": "int64[batch, sequence] = randint(vocab)"},
        "tasks": {"fill-mask": {}, "text-generation": {"tolerances": {"float32": {"atol": 1e-5, "rtol": 2.5e-5}}}},
        "reference": {
            "config": {"kinds": ["a", None, True], "parts": {"x": 1, "y": "no", "z": "a: b"}, "width": 1.5},
            "variants": [{"a": 1}, {"b": [1, 2]}],
        },
    }
    text = write_spec(Draft("some-model", "encoder", parts, {("dims", "hidden"): "why " * 60, (): "drafted"}))
    assert read(text) == {"spec_version": 1, "architecture": "some-model", "extends": "encoder", **parts}


def test_lines_are_no_longer_than_those_of_the_catalogue():
    parts = {"reference": {"config": {f"a_rather_long_key_{number}": number for number in range(30)}}}
    lines = write_spec(Draft("some-model", "encoder", parts)).splitlines()
    assert max(map(len, lines)) <= 120
    assert len(lines) < 15


def test_words_that_yaml_takes_for_something_else_are_quoted():
    assert flow({"a": "null", "b": "yes", "c": "gelu", "d": "a, b"}) == '{a: "null", b: "yes", c: gelu, d: "a, b"}'
