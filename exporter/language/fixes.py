"""Apply what findings offer to change: to files with ``lint --fix``, or as a diff."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from exporter.errors import UsageError
from exporter.language.catalog import display_name
from exporter.language.diagnostics import Edit
from exporter.language.linting import LintResult
from exporter.language.text import Text

# Fixing one finding may uncover another; a spec is far from needing more rounds than this.
_MAX_ROUNDS = 8


def fixed_texts(result: LintResult) -> dict[Path, tuple[str, str]]:
    """Return, for each linted file that safe fixes change, the text before and after one round of them."""
    edits: dict[Path, list[tuple[Text, Edit]]] = {}
    linted = {path.resolve() for path in result.paths}
    for fix in result.fixes:
        for edit in fix.edits if fix.safe else ():
            path = edit.span.source.path
            if path is not None and path.resolve() in linted:
                edits.setdefault(path, []).append((edit.span.source, edit))
    return {
        path: (placed[0][0].text, _apply_edits(placed[0][0].text, [edit for _, edit in placed]))
        for path, placed in edits.items()
    }


def _apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits to a text; of two that overlap the first stands."""
    chosen: list[Edit] = []
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.span.start, edit.span.end)):
        if not chosen or edit.span.start >= chosen[-1].span.end:
            chosen.append(edit)
    parts, at = [], 0
    for edit in chosen:
        parts += [text[at : edit.span.start], edit.replacement]
        at = edit.span.end
    return "".join([*parts, text[at:]])


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
    for path, (before, after) in sorted(fixed_texts(result).items()):
        name = display_name(path)
        yield from difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
