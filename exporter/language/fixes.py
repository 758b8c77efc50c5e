"""Apply what findings offer to change: to files with ``lint --fix``, or as a diff."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from exporter.errors import UsageError
from exporter.language.catalog import display_name
from exporter.language.diagnostics import Edit
from exporter.language.linting import LintResult
from exporter.language.text import Text

# Fixing one finding may uncover another; a spec is far from needing more rounds than this.
_MAX_ROUNDS = 8
# A stretch of lines: whether it is equal, and where it is before and after, as difflib has it.
_Code = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]


def fixed_texts(result: LintResult) -> dict[Path, tuple[str, str]]:
    """Return, for each linted file that safe fixes change, the text before and after one round of them."""
    return {path: (source.text, _apply_edits(source.text, edits)) for path, (source, edits) in _edits(result).items()}


def _edits(result: LintResult) -> dict[Path, tuple[Text, list[Edit]]]:
    """Return the edits of safe fixes in each linted file, in order; of two that overlap the first stands."""
    edits: dict[Path, tuple[Text, dict[Edit, None]]] = {}
    linted = {path.resolve() for path in result.paths}
    is_linted: dict[Path, bool] = {}
    for edit in (edit for fix in result.fixes if fix.safe for edit in fix.edits):
        path = edit.span.source.path
        if path is not None and is_linted.setdefault(path, path.resolve() in linted):
            edits.setdefault(path, (edit.span.source, {}))[1][edit] = None
    chosen: dict[Path, tuple[Text, list[Edit]]] = {}
    for path, (source, given) in edits.items():
        kept: list[Edit] = []
        for edit in sorted(given, key=lambda edit: (edit.span.start, edit.span.end)):
            if not kept or edit.span.start >= kept[-1].span.end:
                kept.append(edit)
        chosen[path] = (source, kept)
    return chosen


def _apply_edits(text: str, edits: Iterable[Edit], start: int = 0, end: int | None = None) -> str:
    """Apply edits, which are in order, to a part of a text."""
    parts, at = [], start
    for edit in edits:
        parts += [text[at : edit.span.start], edit.replacement]
        at = edit.span.end
    return "".join([*parts, text[at:end]])


def fix_files(lint: Callable[[], LintResult]) -> tuple[LintResult, int]:
    """Apply safe fixes to the files until none is left; return what remains, and how many findings were fixed.

    Args:
        lint: lints the same files again.
    """
    result = lint()
    before = result.count
    for _ in range(_MAX_ROUNDS):
        changes = {path: after for path, (text, after) in fixed_texts(result).items() if after != text}
        if not changes:
            break
        for path, text in changes.items():
            _write_text(path, text)
        result = lint()
    return result, before - result.count


def _write_text(path: Path, text: str) -> None:
    """Replace a file whole, keeping its mode and its byte order mark."""
    mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".exporter-")
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.write(mark + text.encode("utf-8"))
            Path(name).chmod(path.stat().st_mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror}") from None


def diff_fixes(result: LintResult) -> Iterator[str]:
    """Yield unified diffs of what one round of safe fixes would change."""
    for path, (source, edits) in sorted(_edits(result).items(), key=lambda entry: entry[0]):
        yield from _diff(source, edits, display_name(path))


def _diff(source: Text, edits: list[Edit], name: str) -> Iterator[str]:
    """Yield the unified diff of edits. Where they are is known, so nothing is searched for."""
    before = source.text.splitlines(keepends=True)
    after: list[str] = []
    at = 0
    codes: list[_Code] = []

    def copy(end: int) -> None:
        nonlocal at
        if end > at:
            codes.append(("equal", at, end, len(after), len(after) + end - at))
            after.extend(before[at:end])
            at = end

    for first, last, block in _blocks(source, edits):
        start, end = source.offset(first, 0), source.offset(last, 0)
        old, new = before[first:last], _apply_edits(source.text, block, start, end).splitlines(keepends=True)
        while old and new and old[0] == new[0]:
            old, new, first = old[1:], new[1:], first + 1
        while old and new and old[-1] == new[-1]:
            old, new = old[:-1], new[:-1]
        copy(first)
        if old or new:
            codes.append(("replace", at, at + len(old), len(after), len(after) + len(new)))
            after += new
            at += len(old)
    copy(len(before))
    groups = list(_Known(codes).get_grouped_opcodes()) if any(code[0] != "equal" for code in codes) else []
    if groups:
        yield from (f"--- a/{name}\n", f"+++ b/{name}\n")
    for group in groups:
        (_, first, _, new_first, _), (_, _, last, _, new_last) = group[0], group[-1]
        yield f"@@ -{_lines(first, last)} +{_lines(new_first, new_last)} @@\n"
        for kind, begin, end, new_begin, new_end in group:
            if kind == "equal":
                yield from (f" {line}" for line in before[begin:end])
            else:
                yield from (f"-{line}" for line in before[begin:end])
                yield from (f"+{line}" for line in after[new_begin:new_end])


class _Known(difflib.SequenceMatcher[str]):
    """Differences that are known, in place of those that are found by comparing."""

    def __init__(self, codes: list[_Code]) -> None:
        super().__init__()
        self.codes = codes

    def get_opcodes(self) -> list[_Code]:
        """Return what is equal and what is replaced, as lines of the text before and of the text after."""
        return self.codes


def _blocks(source: Text, edits: Iterable[Edit]) -> Iterator[tuple[int, int, list[Edit]]]:
    """Yield the lines that edits are in, first and behind the last from 0, with those that share them."""
    block: list[Edit] = []
    first = last = 0
    for edit in edits:
        (line, column), (end_line, end_column) = map(source.position, (edit.span.start, edit.span.end))
        whole = column == end_column == 1 and (not edit.replacement or edit.replacement.endswith("\n"))
        begin, end = line - 1, end_line - 1 if whole else end_line
        if block and begin >= last:
            yield first, last, block
            block = []
        if not block:
            first, last = begin, end
        block.append(edit)
        last = max(last, end)
    if block:
        yield first, last, block


def _lines(first: int, last: int) -> str:
    """Return a range of lines as a unified diff writes it: from 1, and the number before where there are none."""
    count = last - first
    return f"{first + 1}" if count == 1 else f"{first + 1 if count else first},{count}"
