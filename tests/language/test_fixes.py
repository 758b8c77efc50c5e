"""Fixes that are applied to files, and those that are only shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.language.fixes import diff_fixes, fix_files, fixed_texts
from exporter.language.linting import lint_paths

SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""


def test_fixes_keep_comments_line_ends_and_the_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "example.yaml"
    text = "\ufeff# A comment.\r\n" + SPEC.replace("fill-mask: {}", "masked-lm: {}  # why").replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8"))
    path.chmod(0o640)
    result, fixed = fix_files(lambda: lint_paths(["example.yaml"]))
    assert (result.passed, fixed) == (True, 1)
    assert path.read_bytes() == text.replace("masked-lm", "fill-mask").encode("utf-8")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["example.yaml"]


def test_the_diff_changes_nothing(lint, tmp_path: Path):
    result = lint(SPEC.replace("fill-mask", "masked-lm"))
    diff = "".join(diff_fixes(result))
    assert "-  masked-lm: {}\n+  fill-mask: {}\n" in diff
    assert "masked-lm" in (tmp_path / "example.yaml").read_text("utf-8")


def test_several_fixes_of_one_file_are_applied_together(lint, tmp_path: Path):
    text = SPEC.replace("fill-mask: {}", "masked-lm: {}\n  sequence-classification: {}")
    result = lint(text)
    ((path, (before, after)),) = fixed_texts(result).items()
    assert (path.name, before) == ("example.yaml", text)
    assert after == SPEC.replace("fill-mask: {}", "fill-mask: {}\n  text-classification: {}")


def test_what_no_fix_mends_is_left_as_it_is(lint, tmp_path: Path):
    text = SPEC.replace("fill-mask", "no-such-task-there-is")
    lint(text)
    result, fixed = fix_files(lambda: lint_paths(["example.yaml"]))
    assert (len(result.diagnostics), fixed) == (1, 0)
    assert (tmp_path / "example.yaml").read_text("utf-8") == text


def test_a_file_that_is_not_linted_is_not_fixed(lint, tmp_path: Path):
    result = lint(SPEC.replace("fill-mask", "masked-lm"))
    (finding,) = result.diagnostics
    assert finding.fix is not None
    assert fixed_texts(type(result)(result.files, result.diagnostics, (tmp_path / "other.yaml",))) == {}
