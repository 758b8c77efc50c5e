"""The page of guarantees: each sentence names tests, and they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from commands import REPOSITORY

PAGE = REPOSITORY / "docs/guarantees.md"


def guarantees() -> Iterator[str]:
    """Yield the items of the page's lists, each as one line."""
    for item in re.findall(r"^- (.+?)(?=^- |^#|^\Z|\n\n)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        yield " ".join(item.split())


def named_tests(sentence: str) -> list[tuple[str, str | None]]:
    """Return the test files a sentence names, each with a test in it where one is named."""
    return [(file, name or None) for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", sentence)]


@pytest.mark.parametrize("sentence", list(guarantees()))
def test_every_guarantee_names_tests_that_exist(sentence: str):
    named = named_tests(sentence)
    assert named, f"no test is named: {sentence}"
    for file, name in named:
        tree = ast.parse((REPOSITORY / file).read_text("utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in tests if name else any(test.startswith("test_") for test in tests), f"{file} has no '{name}'"


def test_every_item_is_read():
    assert len(list(guarantees())) == PAGE.read_text("utf-8").count("\n- ")
