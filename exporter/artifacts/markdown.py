"""Text of strangers in Markdown: names and labels that stay what they are, in one place of a page."""

from __future__ import annotations

import re

_LONGEST = 120
_TICKS = re.compile("`+")


def code_span(text: str) -> str:
    """Return a text as a code span, in which Markdown and HTML mean nothing.

    What cannot be seen, such as a change of the direction of writing, becomes a question mark; a long text is cut.
    """
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in text[: _LONGEST + 1])
    shown = f"{shown[:_LONGEST]}…" if len(shown) > _LONGEST else shown
    shown = shown.strip() or " "
    fence = "`" * (1 + max((len(ticks) for ticks in _TICKS.findall(shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
