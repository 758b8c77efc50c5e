"""Texts and places in them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Text:
    """A text and the name it is known by in messages."""

    name: str
    text: str
    path: Path | None = None

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of a character offset."""
        line = bisect_right(self._starts, offset) - 1
        return line + 1, offset - self._starts[line] + 1

    def offset(self, line: int, column: int) -> int:
        """Return the character offset of a 0-based line and column, as YAML marks give them."""
        return min(self._starts[line] + column, len(self.text)) if line < len(self._starts) else len(self.text)

    def line(self, number: int) -> str:
        """Return the text of a 1-based line, without its line break."""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def lines(self) -> Iterator[str]:
        """Iterate over the lines, without their line breaks."""
        return (self.line(number) for number in range(1, len(self._starts) + 1))

    def span(self, start: int, end: int) -> Span:
        """Return the span between two character offsets."""
        return Span(self, start, end)

    def __hash__(self) -> int:
        return hash((self.name, len(self.text)))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source, as character offsets ``start`` (inclusive) to ``end`` (exclusive)."""

    source: Text = field(repr=False)
    start: int
    end: int

    @property
    def line(self) -> int:
        """The 1-based line of the first character."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """The 1-based column of the first character."""
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        """The text under the span."""
        return self.source.text[self.start : self.end]

    def location(self) -> str:
        """Return ``file:line:column``."""
        return f"{self.source.name}:{self.line}:{self.column}"

    def within(self, start: int, end: int) -> Span:
        """Return the part of this span between two offsets relative to its start."""
        return Span(self.source, self.start + start, min(self.start + end, max(self.end, self.start + start)))
