"""Code spans hold whatever a stranger called something."""

from __future__ import annotations

import pytest

from exporter.artifacts.markdown import code_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("glad", "`glad`"),
        ("a`b", "``a`b``"),
        ("```", "```` ``` ````"),
        ("<script>alert(1)</script>", "`<script>alert(1)</script>`"),
        ("two\nlines\tand more", "`two lines and more`"),
        ("a\u202eb\x07c", "`a�b�c`"),
        ("", "` `"),
        ("x" * 500, f"`{'x' * 120}…`"),
    ],
)
def test_a_span_has_the_text_and_nothing_else(text: str, span: str) -> None:
    assert code_span(text) == span
