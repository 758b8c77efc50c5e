"""What a library says of an error is quoted by its first line with text, so that an error without any has words too."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

from commands import REPOSITORY

PACKAGE = REPOSITORY / "exporter"
# This script is run without the package, and has the rule in itself.
APART = {"targets/torch_program/process.py"}


def own_errors() -> set[str]:
    """Return the names of the package's own errors, which always have a message."""
    classes = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    errors: set[str] = set()
    while True:
        known = errors | {"Exception"}
        more = {node.name for node in classes if known & {ast.unparse(base) for base in node.bases}} - errors
        if not more:
            return errors
        errors |= more


def raw_quotes(path: Path, own: set[str]) -> Iterator[str]:
    """Yield each place where the text of a caught error goes into a message as it is."""
    for handler in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
            continue
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if {ast.unparse(kind) for kind in kinds} <= own:
            continue
        asked = {id(part) for node in ast.walk(handler) if isinstance(node, ast.Compare) for part in ast.walk(node)}
        for node in ast.walk(handler):
            if id(node) in asked:
                continue  # the text is searched, and shown to nobody
            match node:
                case ast.FormattedValue(value=ast.Name(id=name)) if name == handler.name:
                    yield f"{path.name}:{node.lineno}"
                case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]) if name == handler.name:
                    yield f"{path.name}:{node.lineno}"


def test_nobody_quotes_a_library_without_looking():
    own = own_errors()
    assert {"ExporterError", "SpecError", "VerificationError"} <= own
    assert not own & set(dir(builtins))
    quotes = [
        quote
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() not in APART
        for quote in raw_quotes(path, own)
    ]
    assert quotes == []


def test_a_raw_quote_is_found(tmp_path: Path):
    path = tmp_path / "module.py"
    for quote in ('f"failed: {error}"', '"failed: " + str(error)', 'f"failed: {error!r}"'):
        path.write_text(
            f"try:\n    run()\nexcept (ValueError, OSError) as error:\n    raise Failure({quote})\n", "utf-8"
        )
        assert list(raw_quotes(path, {"Failure"})) == ["module.py:4"]
    path.write_text("try:\n    run()\nexcept Failure as error:\n    print(f'{error}')\n", "utf-8")
    assert list(raw_quotes(path, {"Failure"})) == []
