"""Fixes that are applied to files, and those that are only shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.language.diagnostics import Edit, Fix
from exporter.language.fixes import diff_fixes, fix_files, fixed_texts
from exporter.language.linting import LintResult, lint_paths
from exporter.language.text import Text

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


def test_a_diff_of_very_many_edits_ends_soon_and_is_what_the_fix_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    comments = "".join(f"# exporter: ignore[loose-tolerance] why\n#{number}\n" for number in range(10_000))
    (tmp_path / "example.yaml").write_text(SPEC + comments, "utf-8")
    result = lint_paths(["example.yaml"])
    started = time.process_time()
    diff = "".join(diff_fixes(result))
    assert time.process_time() - started < 2
    ((before, after),) = fixed_texts(result).values()
    assert apply_diff(before, diff) == after
    assert after == SPEC + "".join(f"#{number}\n" for number in range(10_000))


def apply_diff(text: str, diff: str) -> str:
    """Apply a unified diff, checking every line it repeats."""
    lines, done, at = text.splitlines(keepends=True), [], 0
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            first = int(start) - (count != "0")
            done += lines[at:first]
            at = first
        elif line[0] == "+":
            done.append(line[1:])
        else:
            assert lines[at] == line[1:]
            done += [line[1:]] if line[0] == " " else []
            at += 1
    return "".join(done + lines[at:])


@given(st.text("ab\n", max_size=40), st.data())
def test_a_diff_is_what_the_edits_do(text: str, data: st.DataObject):
    source = Text("example.yaml", text, Path("example.yaml"))
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    words = st.sampled_from(["", "x", "x\n", "\n", "y\nz"])
    edits = tuple(
        Edit(source.span(start, end), data.draw(words)) for start, end in zip(places[::2], places[1::2], strict=False)
    )
    result = LintResult(("example.yaml",), (), paths=(Path("example.yaml"),), fixes=(Fix("change", edits),))
    after = next((after for _, after in fixed_texts(result).values()), text)
    diff = "".join(line if line.endswith("\n") else f"{line}\n\\" for line in diff_fixes(result))
    assert bool(diff) == (after != text)
    if "\\" not in diff:
        assert apply_diff(text, diff) == after
