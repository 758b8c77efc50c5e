"""What a program must know of a tokenizer, and that one it could not use is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients.checkpoints import KINDS

from exporter.models.tokenizing import has_tokenizer_files, look_at_tokenizer


def make(folder: Path, kind: str, **settings: Any) -> Path:
    """Write the tokenizer of a kind of checkpoint, and a config."""
    KINDS[kind].beside(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": KINDS[kind].architecture}), "utf-8")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **settings}), "utf-8")
    return folder


def test_a_tokenizer_of_words(tmp_path: Path) -> None:
    facts = look_at_tokenizer(make(tmp_path, "sentences"))
    assert facts is not None
    assert set(facts.names) >= {"input_ids", "attention_mask"}
    assert (facts.padding_side, facts.limit, facts.has_mask, facts.has_chat) == ("right", 64, True, False)
    assert 4 < facts.highest < 160


def test_a_tokenizer_of_a_writer(tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    facts = look_at_tokenizer(make(tmp_path, "stories", chat_template=template, padding_side="left"))
    assert facts is not None
    assert (facts.padding_side, facts.has_mask, facts.has_chat) == ("left", False, True)
    assert facts.ends is not None


def test_a_tokenizer_without_padding_or_a_limit(tmp_path: Path) -> None:
    make(tmp_path, "stories", pad_token=None, model_max_length=int(1e30))
    (tmp_path / "special_tokens_map.json").unlink()
    facts = look_at_tokenizer(tmp_path)
    assert facts is not None
    assert (facts.padding_side, facts.limit) == (None, None)


@pytest.mark.parametrize(
    "damage",
    [
        {"tokenizer.json": "{"},
        {"tokenizer_config.json": json.dumps({"tokenizer_class": "NoSuchTokenizer"}), "tokenizer.json": "[]"},
        {"tokenizer.json": json.dumps({"version": "1.0"})},
    ],
)
def test_a_tokenizer_that_does_not_load_is_none(damage: dict[str, str], tmp_path: Path) -> None:
    make(tmp_path, "stories")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink()
    for name, text in damage.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert has_tokenizer_files(tmp_path)
    assert look_at_tokenizer(tmp_path) is None


def test_code_of_a_tokenizer_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass X: pass\n", "utf-8")
    settings = {"auto_map": {"AutoTokenizer": ["code.X", None]}, "tokenizer_class": "X"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "new"}', "utf-8")
    assert look_at_tokenizer(tmp_path) is None
    assert not ran.exists()


def test_no_files_are_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    assert not has_tokenizer_files(tmp_path)
    assert look_at_tokenizer(tmp_path) is None
