"""The JSON of a checkpoint: what only Python's reader takes is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints import json_file
from exporter.models.checkpoints.json_file import parse_json, read_json


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, "Infinity", "NaN"], "é": null}', "utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, "Infinity", "NaN"], "é": None}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_is_named_with_its_line(word: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f'{{\n "name": "NaN",\n "eps": {word}\n}}', "utf-8")
    with pytest.raises(CheckpointError, match=r"a.json is not JSON: \S+ is no number there") as refusal:
        parse_json(tmp_path / "a.json")
    if "e" not in word:
        assert refusal.value.message.startswith("line 3 of a.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"", "not valid JSON"),
        (b"1" * 5_000, "not valid JSON"),
        (b'{"a":' * 5_000, "not valid JSON"),
    ],
    ids=["mark", "utf-16", "latin-1", "empty", "long-number", "deep"],
)
def test_what_is_no_json_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        parse_json(tmp_path / "a.json")


def test_a_file_of_absurd_length_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "_LONGEST", 10)
    (tmp_path / "a.json").write_text('{"a": "0123456789"}', "utf-8")
    with pytest.raises(CheckpointError, match="too long"):
        parse_json(tmp_path / "a.json")


def test_a_file_of_very_many_values_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": [' + "[]," * 2_500_000 + "[]]}", "utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json has more than 4,000,000 values"):
        read_json(tmp_path / "config.json")
